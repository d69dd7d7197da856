//! The running server against the simulated telephone world, on both stores.

mod access;
mod callbacks;
mod calls;
mod control;
mod copies;
mod crash;
mod deployment;
mod diagnosis;
mod document;
mod emergency;
mod erase;
mod faults;
mod limits;
mod listen;
mod lists;
mod machines;
mod optout;
mod policies;
mod prices;
mod recordings;
mod registers;
mod reports;
mod rules;
mod shutdown;
mod suppression_lists;
mod tools;
mod vapi;
mod warm;
mod web_tools;

use policies::{brakes, callers};

/// Runs each case on each kind of store.
macro_rules! on_both_stores {
    ($($module:ident::$case:ident),* $(,)?) => {
        on_store!(embedded, Embedded, $($module::$case),*);
        on_store!(mongodb, Mongo, $($module::$case),*);
    };
}

/// Runs each case on one kind of store.
macro_rules! on_store {
    ($name:ident, $kind:ident, $($module:ident::$case:ident),* $(,)?) => {
        mod $name {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::world::run(crate::world::Kind::$kind, $module::$case).await;
                }
            )*
        }
    };
}

on_both_stores!(
    calls::a_list_becomes_calls_and_each_person_comes_to_an_end,
    calls::the_agent_is_told_who_is_on_the_line,
    calls::a_talk_is_kept_with_its_timeline_and_both_sides_words,
    calls::who_hung_up_is_known,
    calls::how_long_the_agent_took_to_answer_is_kept_with_each_turn,
    calls::a_person_in_two_campaigns_gets_a_call_from_each_and_progresses_in_each,
    control::a_pause_lets_talks_finish_and_begins_no_calls,
    control::pausing_and_resuming_during_a_talk_rings_nobody_again,
    control::a_pause_takes_back_what_waits_at_the_carrier_and_calls_it_again,
    control::a_stop_cancels_what_rings_and_lets_talks_finish,
    control::a_stop_while_a_request_is_on_its_way_ends_that_call_and_keeps_it_on_record,
    control::starting_many_times_at_once_is_starting_once,
    control::an_operator_ends_a_call_and_the_carrier_confirms_it,
    deployment::a_copy_of_the_records_does_not_dial_until_somebody_says_so,
    deployment::a_restored_backup_does_not_dial_until_somebody_says_so,
    deployment::ones_own_records_go_on_by_themselves,
    deployment::whoever_was_called_since_the_backup_is_not_called_again,
    limits::no_more_calls_are_up_at_once_than_the_campaign_allows,
    limits::a_tenants_campaigns_share_its_limits,
    limits::no_more_calls_are_up_at_once_than_the_agents_account_can_talk_in,
    limits::dial_starts_keep_the_delay_between_calls,
    limits::dial_starts_keep_the_rate_also_over_a_pause,
    limits::a_changed_limit_acts_within_a_second,
    limits::every_active_campaign_dials_after_a_restart,
    faults::calls_come_to_their_end_without_any_callback,
    faults::a_talk_comes_to_its_end_without_any_callback,
    faults::late_repeated_and_reordered_callbacks_change_nothing,
    faults::a_throttling_carrier_is_asked_again_later_and_nobody_is_lost,
    faults::a_request_that_failed_is_looked_up_before_it_is_made_again,
    faults::a_call_placed_behind_an_error_is_found_and_never_made_again,
    faults::an_answer_that_comes_after_the_whole_call_changes_nothing,
    faults::a_callee_whom_no_agent_can_speak_to_hears_regret_and_is_not_called_again,
    faults::a_campaign_whose_agent_never_comes_stands_still,
    faults::a_crash_of_the_agent_ends_the_talk_and_is_kept,
    faults::an_agent_without_quota_ends_the_talk_and_is_kept,
    faults::a_callee_to_whom_the_agent_says_nothing_hears_the_campaigns_sentence,
    faults::a_callee_whose_agent_is_lost_is_hung_up_on_where_there_is_no_sentence,
    callbacks::the_same_callback_many_times_and_late_ones_change_nothing,
    callbacks::requests_that_the_carrier_did_not_sign_are_refused,
    callbacks::a_callback_for_a_call_that_nobody_knows_is_told_so,
    callbacks::a_call_that_turns_up_after_it_was_given_up_is_ended,
    callbacks::a_stream_without_the_token_or_beside_another_gets_no_agent,
    machines::a_machine_is_hung_up_on_and_a_person_is_not,
    machines::a_message_is_left_after_the_beep,
    machines::who_is_detected_before_connecting_talks_to_the_agent_only_as_a_person,
    machines::a_late_verdict_does_not_disturb_a_person,
    machines::a_lost_verdict_is_asked_for_and_without_any_the_answerer_is_unknown,
    machines::a_fax_is_hung_up_on_and_not_called_again,
    machines::a_verdict_that_the_carrier_did_not_sign_or_nobody_knows_is_refused,
    recordings::both_sides_of_a_call_can_be_listened_to_from_anywhere_in_it,
    recordings::a_recording_that_is_not_ready_is_said_to_be_so,
    recordings::nothing_is_recorded_that_was_not_to_be,
    recordings::the_recordings_of_the_erased_are_deleted_at_the_carrier,
    recordings::a_recording_is_deleted_when_it_is_as_old_as_it_may_become,
    recordings::what_the_agents_vendor_recorded_is_had_with_its_key,
    prices::what_the_carrier_takes_is_on_record_some_time_after_the_call,
    prices::a_price_that_never_comes_is_given_up_and_unknown,
    prices::a_restart_forgets_no_price,
    lists::every_row_is_accepted_a_duplicate_or_rejected_with_its_reason,
    lists::people_who_are_added_twice_are_counted_as_duplicates,
    lists::rejected_rows_are_given_back_without_formulas,
    lists::a_list_that_cannot_be_read_is_refused_and_nothing_is_created,
    lists::a_text_that_names_a_missing_column_is_refused_before_anybody_is_called,
    lists::a_form_with_a_part_or_setting_that_nobody_knows_is_refused,
    lists::an_upload_above_the_limit_is_refused,
    optout::who_presses_9_is_on_the_list_within_a_second,
    optout::who_asks_the_agent_is_on_the_list_with_their_words_and_the_agent_is_told,
    optout::a_key_that_a_campaign_has_no_use_for_takes_nobody_off_the_list,
    optout::who_opted_out_stays_on_the_list_when_another_is_uploaded,
    optout::a_suppression_withdraws_what_rings_and_lets_talks_finish,
    policies::a_budget_of_minutes_pauses_the_campaign_and_is_never_exceeded,
    policies::a_budget_of_money_is_never_exceeded,
    callers::a_number_rests_between_its_calls,
    callers::nobody_is_touched_who_waits_for_a_number,
    callers::callees_see_the_number_that_is_most_like_theirs,
    callers::numbers_take_turns_and_each_makes_its_calls_of_a_day_and_no_more,
    policies::who_may_not_be_called_takes_no_dial_start_from_the_others,
    policies::campaigns_share_dial_starts_by_their_priorities,
    policies::a_ramp_begins_slowly_and_reaches_the_rate,
    policies::a_campaign_starts_and_ends_when_its_schedule_says,
    policies::a_start_that_was_missed_is_shown_and_not_made_up_for,
    brakes::a_network_that_connects_no_call_pauses_the_campaign_until_it_is_resumed,
    brakes::calls_of_the_erased_count_when_a_network_connects_none,
    brakes::a_carrier_that_answers_no_request_pauses_the_campaign_and_ends_nobody,
    brakes::an_agent_that_fails_for_most_pauses_the_campaign,
    brakes::people_who_hear_nobody_pause_the_campaign_at_the_limit,
    brakes::a_country_that_is_not_enabled_is_left_alone_and_the_others_are_called,
    brakes::a_code_that_hits_every_number_is_the_accounts_and_ends_nobody,
    rules::who_is_on_the_do_not_call_list_is_not_called,
    rules::a_suppression_between_claim_and_dial_withholds_the_call,
    rules::who_opts_out_in_one_campaign_is_not_called_by_another,
    rules::nobody_is_called_outside_the_window_and_everybody_soon_after_it_opens,
    rules::who_was_called_by_one_campaign_is_left_alone_by_the_next_for_a_while,
    rules::whom_a_rule_put_off_is_called_when_the_rule_is_lifted,
    rules::only_who_agreed_is_called_where_that_is_asked_for,
    rules::nobody_is_called_on_a_day_that_the_tenant_took_off,
    rules::who_heard_nobody_is_left_alone_by_machines_for_days,
    rules::people_who_are_added_where_it_is_daytime_are_called_at_once,
    erase::who_is_erased_is_in_no_record_and_is_never_called_again,
    erase::nobody_is_erased_during_a_talk_and_what_rings_is_taken_back,
    erase::an_erasure_that_was_cut_short_is_finished_by_asking_again,
    erase::whoever_cannot_be_told_apart_is_not_erased,
    suppression_lists::a_list_is_added_once_and_what_is_wrong_with_it_is_named,
    suppression_lists::nobody_on_an_uploaded_list_is_called_whatever_is_uploaded_next,
    suppression_lists::what_is_no_list_is_refused_and_nobody_is_added,
    registers::nobody_is_called_by_a_register_before_a_whole_and_fresh_copy_is_imported,
    registers::a_register_that_is_asked_for_between_claim_and_dial_withholds_the_call,
    registers::what_is_no_register_is_refused,
    emergency::an_emergency_stop_clears_the_lines_and_lifting_it_goes_on,
    emergency::the_command_stops_what_a_running_server_does,
    emergency::an_emergency_stop_ends_talks_when_it_is_to,
    tools::an_agent_says_how_it_sees_the_call_and_is_told_of_tools_that_are_none,
    tools::an_agent_that_ends_the_call_is_heard_out_and_the_call_is_ended,
    tools::who_wants_to_be_called_again_is_called_again_then,
    tools::nobody_is_promised_a_call_when_none_is_allowed,
    tools::a_callee_who_asks_for_a_person_is_connected_with_one,
    tools::a_callee_whose_person_is_on_the_phone_hears_so,
    tools::a_callee_whose_person_does_not_answer_hears_so,
    tools::an_agent_is_told_when_nobody_takes_calls_and_goes_on,
    tools::the_other_vendors_agent_uses_the_same_tools,
    tools::an_operator_transfers_a_call,
    tools::what_is_told_of_a_transfer_without_a_signature_or_sense_is_refused,
    web_tools::an_agent_asks_the_tenants_server_and_is_told_what_it_says,
    web_tools::what_goes_wrong_with_a_tool_is_told_to_the_agent_and_kept,
    web_tools::a_tool_that_takes_long_holds_up_nothing_else,
    web_tools::the_other_vendors_agent_uses_the_tenants_tools,
    web_tools::a_tool_is_defined_as_it_may_be_or_not_at_all,
    warm::who_answers_is_joined_over_the_connection_that_was_prepared,
    warm::a_connection_that_was_lost_while_it_rang_is_made_anew,
    warm::nothing_is_left_of_what_was_prepared_for_who_never_answers,
    warm::nothing_is_prepared_where_nothing_may_be,
    warm::the_agents_room_is_kept_with_prepared_connections_counted,
    vapi::a_talk_with_vapi_is_briefed_kept_and_ended,
    vapi::who_speaks_over_vapis_agent_interrupts_it,
    vapi::who_asks_vapis_agent_is_on_the_list,
    vapi::agents_with_other_formats_are_converted_for,
    vapi::a_call_that_one_vendor_refuses_is_taken_by_the_other,
    vapi::new_calls_go_to_the_other_vendor_while_one_breaks_them_off,
    vapi::a_vendor_that_is_not_set_up_is_refused,
    reports::what_each_vendor_finds_arrives_beside_the_outcome,
    reports::what_is_not_signed_as_it_should_be_changes_nothing,
    reports::reports_that_come_late_or_twice_say_it_once,
    reports::a_report_finds_its_call_by_the_conversation_and_no_other,
    reports::nothing_that_was_reported_outlives_an_erasure,
    listen::who_listens_hears_both_sides_until_the_call_is_over,
    listen::nobody_else_hears_a_call_or_speaks_to_its_agent,
    listen::listeners_who_take_nothing_do_not_hold_up_the_call,
    listen::a_hint_reaches_the_agent_of_either_vendor_and_is_kept,
    listen::an_operator_mutes_the_agent_and_takes_the_call_over,
    listen::an_agent_is_heard_again_when_the_carrier_does_not_take_the_call_over,
    copies::a_copy_has_the_settings_and_on_request_the_people,
    copies::those_whose_calls_came_to_nothing_are_called_by_a_campaign_of_their_own,
    copies::a_test_call_says_what_the_campaign_would,
    access::without_a_good_token_every_route_says_unauthorized,
    access::a_viewer_sees_everything_and_changes_nothing,
    access::another_tenant_finds_nothing_of_this_one,
    access::guessing_a_password_is_refused_after_ten_tries,
    access::what_is_not_known_in_a_request_is_refused,
    document::the_description_lists_the_routes,
    document::every_described_route_answers_under_each_prefix,
    crash::a_server_that_is_killed_again_and_again_calls_nobody_twice_and_forgets_nobody,
    shutdown::a_draining_server_lets_talks_finish_and_forgets_nobody,
    shutdown::a_drain_that_takes_too_long_leaves_the_rest_for_the_next_start,
);

// Audio that goes by tasks: everything in which there is any.
on_store!(
    tasks,
    Tasks,
    calls::a_list_becomes_calls_and_each_person_comes_to_an_end,
    calls::the_agent_is_told_who_is_on_the_line,
    calls::a_talk_is_kept_with_its_timeline_and_both_sides_words,
    calls::who_hung_up_is_known,
    control::a_pause_lets_talks_finish_and_begins_no_calls,
    control::an_operator_ends_a_call_and_the_carrier_confirms_it,
    faults::a_talk_comes_to_its_end_without_any_callback,
    faults::a_callee_whom_no_agent_can_speak_to_hears_regret_and_is_not_called_again,
    faults::a_crash_of_the_agent_ends_the_talk_and_is_kept,
    faults::an_agent_without_quota_ends_the_talk_and_is_kept,
    faults::a_callee_to_whom_the_agent_says_nothing_hears_the_campaigns_sentence,
    callbacks::a_stream_without_the_token_or_beside_another_gets_no_agent,
    optout::who_presses_9_is_on_the_list_within_a_second,
    optout::who_asks_the_agent_is_on_the_list_with_their_words_and_the_agent_is_told,
    vapi::a_talk_with_vapi_is_briefed_kept_and_ended,
    vapi::who_speaks_over_vapis_agent_interrupts_it,
    listen::who_listens_hears_both_sides_until_the_call_is_over,
    listen::a_hint_reaches_the_agent_of_either_vendor_and_is_kept,
    listen::an_operator_mutes_the_agent_and_takes_the_call_over,
    listen::an_agent_is_heard_again_when_the_carrier_does_not_take_the_call_over,
    tools::an_agent_says_how_it_sees_the_call_and_is_told_of_tools_that_are_none,
    tools::an_agent_that_ends_the_call_is_heard_out_and_the_call_is_ended,
    tools::a_callee_who_asks_for_a_person_is_connected_with_one,
    tools::the_other_vendors_agent_uses_the_same_tools,
    web_tools::an_agent_asks_the_tenants_server_and_is_told_what_it_says,
    warm::who_answers_is_joined_over_the_connection_that_was_prepared,
    warm::a_connection_that_was_lost_while_it_rang_is_made_anew,
    shutdown::a_draining_server_lets_talks_finish_and_forgets_nobody,
);

on_store!(
    embedded_only,
    Embedded,
    suppression_lists::a_long_list_is_added_whole_and_once,
);

// Several processes on one database.
on_store!(
    mongodb_only,
    Mongo,
    listen::a_call_is_reached_over_a_process_that_does_not_have_its_audio,
);
