//! One suite of cases for every store: plain maps, SQLite in memory and in a file, and MongoDB; and
//! what a MongoDB without transactions does in its own way.

mod accounts;
mod calls;
mod campaigns;
mod claims;
mod contacts;
mod data;
mod enrollments;
mod events;
mod figures;
mod home;
mod imports;
mod inbox;
mod isolation;
mod lasting;
mod people;
mod suppressions;
mod web_tools;

/// Runs each case on each kind of store.
macro_rules! on_every_store {
    ($($module:ident::$case:ident),* $(,)?) => {
        on_stores!(maps, home::Home::in_maps, $($module::$case),*);
        on_stores!(memory, home::Home::in_memory, $($module::$case),*);
        on_stores!(file, home::Home::in_a_file, $($module::$case),*);
        on_stores!(mongodb, home::Home::in_mongodb, $($module::$case),*);
    };
}

/// Runs each case on one kind of store.
macro_rules! on_stores {
    ($kind:ident, $home:path, $($module:ident::$case:ident),* $(,)?) => {
        mod $kind {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    home::run($home(), $module::$case).await;
                }
            )*
        }
    };
}

on_every_store!(
    campaigns::a_campaign_reads_back,
    campaigns::campaigns_are_listed_newest_first_and_filtered,
    campaigns::a_save_from_an_old_version_is_a_conflict,
    campaigns::a_deleted_campaign_is_hidden,
    campaigns::a_delete_from_an_old_version_is_a_conflict,
    enrollments::a_number_is_in_a_campaign_once,
    enrollments::an_enrollment_is_found_with_its_campaign,
    enrollments::a_person_of_two_campaigns_is_one_contact,
    enrollments::enrolling_the_same_list_at_once_adds_each_number_once,
    enrollments::pages_visit_every_enrollment_once_in_the_order_of_adding,
    enrollments::only_a_person_who_was_never_tried_can_be_removed,
    enrollments::adding_somebody_raises_the_version_of_the_campaign,
    enrollments::nobody_is_enrolled_in_a_campaign_that_is_gone,
    calls::a_commit_saves_the_enrollment_the_call_and_the_events,
    calls::a_commit_from_an_old_version_changes_nothing,
    calls::of_commits_at_once_only_the_late_ones_are_refused,
    calls::calls_are_listed_latest_first_and_filtered,
    calls::calls_are_found_by_what_is_to_be_done_about_them_later,
    calls::progress_and_usage_equal_a_recount,
    calls::a_call_is_found_by_its_conversation_with_what_was_reported,
    claims::each_enrollment_is_claimed_once,
    claims::due_ones_are_claimed_soonest_first,
    claims::only_people_at_the_places_asked_for_are_claimed,
    claims::a_claim_at_more_places_than_a_query_takes_is_in_order_too,
    claims::whoever_is_on_the_phone_is_passed_over_at_every_place,
    claims::a_person_on_the_phone_for_one_campaign_is_passed_over_by_the_others,
    claims::campaigns_that_claim_at_once_share_nobody,
    claims::a_person_has_one_open_attempt_whoever_is_late,
    claims::a_paused_campaign_claims_nothing,
    claims::a_claim_ends_by_commit_or_by_time,
    claims::whom_a_rule_put_off_is_due_when_it_is_released,
    claims::a_lease_has_one_holder_and_a_rising_number,
    claims::a_stale_holder_claims_nothing,
    claims::active_campaigns_come_oldest_start_first,
    claims::scheduled_campaigns_come_first_created_first,
    claims::open_enrollments_become_overdue,
    claims::an_outlook_is_what_is_read_one_by_one,
    claims::a_tenant_is_added_once,
    figures::places_are_known_and_change_with_the_version,
    figures::those_that_wait_are_counted_by_place_rule_and_time,
    figures::ends_by_a_rule_are_counted,
    figures::totals_are_sums_over_ended_calls,
    figures::recent_calls_come_latest_first_without_open_ones,
    figures::the_use_of_own_numbers_is_counted,
    figures::calls_to_a_person_are_found_over_all_campaigns,
    contacts::the_address_book_learns_and_never_forgets,
    contacts::contacts_are_found_by_id_and_by_number,
    contacts::lists_that_teach_at_once_lose_nothing,
    people::what_is_held_about_a_person_is_found_over_all_campaigns,
    people::an_erased_person_counts_as_before_and_is_found_no_more,
    people::events_are_replaced_where_they_are,
    people::signals_lose_their_words_and_stay_to_be_processed,
    people::who_is_forgotten_is_no_entry_and_no_contact,
    suppressions::a_suppression_is_added_once_and_never_replaced,
    suppressions::lists_that_are_added_at_once_add_each_person_once,
    suppressions::a_lifted_suppression_stays_in_the_list,
    suppressions::suppressions_are_searched_by_subject_and_reason,
    suppressions::suppressions_of_one_tenant_are_not_anothers,
    suppressions::the_first_salt_of_a_tenant_stays,
    suppressions::what_a_tenant_sets_is_saved_part_by_part,
    suppressions::the_latest_copy_of_each_register_is_known,
    web_tools::tools_are_saved_by_name_and_replaced,
    web_tools::tools_of_one_tenant_are_not_anothers,
    web_tools::a_tool_that_is_saved_twice_at_once_is_there_once,
    inbox::a_repeated_signal_is_received_once,
    inbox::signals_stay_until_they_are_settled,
    inbox::a_report_is_received_whole,
    events::a_log_is_read_in_order,
    events::concurrent_writers_share_one_rising_order,
    events::a_watcher_sees_what_is_committed_from_any_handle,
    imports::an_import_and_its_rejected_rows_read_back,
    accounts::an_address_is_taken_once,
    accounts::a_session_lives_until_it_is_deleted,
    isolation::nothing_of_one_tenant_is_reached_by_another,
    isolation::figures_of_one_tenant_are_not_anothers,
    lasting::a_store_that_works_says_so,
    lasting::the_deployment_is_kept,
    lasting::emergency_stops_are_kept_until_they_are_lifted,
);

mod kept {
    use super::*;

    on_stores!(
        file,
        home::Home::in_a_file,
        lasting::everything_is_there_after_reopening,
        lasting::a_newer_schema_is_refused,
        claims::an_unreadable_enrollment_is_no_obstacle_to_overdue_ones,
        inbox::an_unreadable_signal_is_no_obstacle_to_the_others,
        events::the_numbers_of_a_log_have_no_gaps,
    );
    on_stores!(
        mongodb,
        home::Home::in_mongodb,
        lasting::everything_is_there_after_reopening,
        lasting::a_newer_schema_is_refused,
        claims::an_unreadable_enrollment_is_no_obstacle_to_overdue_ones,
        inbox::an_unreadable_signal_is_no_obstacle_to_the_others,
        lasting::a_commit_that_was_cut_short_is_completed,
    );
    on_stores!(
        single_mongodb,
        home::Home::in_single_mongodb,
        campaigns::a_save_from_an_old_version_is_a_conflict,
        calls::a_commit_saves_the_enrollment_the_call_and_the_events,
        calls::a_commit_from_an_old_version_changes_nothing,
        calls::of_commits_at_once_only_the_late_ones_are_refused,
        claims::a_person_has_one_open_attempt_whoever_is_late,
        claims::campaigns_that_claim_at_once_share_nobody,
        claims::open_enrollments_become_overdue,
        figures::calls_to_a_person_are_found_over_all_campaigns,
        events::concurrent_writers_share_one_rising_order,
        events::a_watcher_sees_what_is_committed_from_any_handle,
        lasting::everything_is_there_after_reopening,
        lasting::a_commit_that_was_cut_short_is_completed,
        lasting::a_call_is_found_before_its_commit_is_complete,
    );
}
