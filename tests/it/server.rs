//! The running server against the simulated telephone world, on both stores.

mod access;
mod callbacks;
mod calls;
mod control;
mod crash;
mod document;
mod faults;
mod limits;
mod lists;
mod shutdown;

/// Runs each case on each kind of store.
macro_rules! on_both_stores {
    ($($module:ident::$case:ident),* $(,)?) => {
        on_store!(embedded, Embedded, $($module::$case),*);
        on_store!(mongodb, Mongo, $($module::$case),*);
    };
}

/// Runs each case on one kind of store.
macro_rules! on_store {
    ($name:ident, $kind:ident, $($module:ident::$case:ident),*) => {
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
    calls::a_person_in_two_campaigns_gets_a_call_from_each_and_progresses_in_each,
    control::a_pause_lets_talks_finish_and_begins_no_calls,
    control::pausing_and_resuming_during_a_talk_rings_nobody_again,
    control::a_stop_cancels_what_rings_and_lets_talks_finish,
    control::a_stop_while_a_request_is_on_its_way_ends_that_call_and_keeps_it_on_record,
    control::starting_many_times_at_once_is_starting_once,
    control::an_operator_ends_a_call_and_the_carrier_confirms_it,
    limits::no_more_calls_are_up_at_once_than_the_campaign_allows,
    limits::a_tenants_campaigns_share_its_limits,
    limits::dial_starts_keep_the_delay_between_calls,
    limits::dial_starts_keep_the_rate_also_over_a_pause,
    limits::a_changed_limit_acts_within_a_second,
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
    callbacks::the_same_callback_many_times_and_late_ones_change_nothing,
    callbacks::requests_that_the_carrier_did_not_sign_are_refused,
    callbacks::a_callback_for_a_call_that_nobody_knows_is_told_so,
    callbacks::a_call_that_turns_up_after_it_was_given_up_is_ended,
    callbacks::a_stream_without_the_token_or_beside_another_gets_no_agent,
    lists::every_row_is_accepted_a_duplicate_or_rejected_with_its_reason,
    lists::people_who_are_added_twice_are_counted_as_duplicates,
    lists::rejected_rows_are_given_back_without_formulas,
    lists::a_list_that_cannot_be_read_is_refused_and_nothing_is_created,
    lists::a_text_that_names_a_missing_column_is_refused_before_anybody_is_called,
    lists::a_form_with_a_part_or_setting_that_nobody_knows_is_refused,
    lists::an_upload_above_the_limit_is_refused,
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
