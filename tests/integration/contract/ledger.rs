//! What every engine of the ledger promises. A suite of functions over a [`TestBed`], one bed an engine, and a suite of
//! statements by hand for those that speak SQL; what only PostgreSQL has is in `postgres`.

mod accounts;
mod action_log;
mod auditing;
mod batches;
mod bed;
mod cancelling;
mod catalog;
mod changes;
mod demo;
mod ending;
mod events;
mod keys;
mod leases;
mod model;
mod operator;
mod orders;
mod people;
mod postgres;
mod products;
mod retention;
mod sessions;
mod settling;
mod sqlite;
mod terms;
mod webhooks;
mod windows;
mod withdrawals;

use self::{bed::TestBed, model::ModelBed, postgres::PostgresBed, sqlite::SqliteBed};

/// Runs a function of the suite on a bed of its own.
async fn run<B: TestBed>(test: impl AsyncFnOnce(&B)) {
    let bed = B::start().await;
    test(&bed).await;
    bed.check_promises().await;
}

// The whole suite.
contract! { [on_postgres: PostgresBed, on_sqlite: SqliteBed, on_model: ModelBed] {
    accounts {
        names_and_emails_are_unique_whatever_their_case,
        an_account_is_found_whatever_the_case,
        spellings_of_a_name_are_one_account,
        one_of_many_who_want_a_name_at_once_gets_it,
        one_of_many_spellings_of_an_email_at_once_gets_it,
        a_password_hash_is_replaced_unless_another_was_first,
        runs_of_accounts_end_with_their_block,
        an_id_is_never_handed_out_again,
        ids_continue_above_what_the_caller_knows,
        removed_accounts_are_told_until_the_position_is_behind_them,
        accounts_are_read_in_pages_of_runs,
        accounts_are_looked_up_with_the_time_they_were_made,
        an_attempt_without_an_account_ends_as_that_and_takes_no_unit,
    }
    auditing {
        decisions_are_kept_in_their_order_log_by_log,
    }
    catalog {
        the_catalog_has_what_has_not_ended_and_the_last_that_has,
        a_window_is_listed_to_the_millisecond,
        a_snapshot_adds_up_while_orders_are_being_made,
        an_unknown_sale_has_no_snapshot,
    }
    ending {
        an_ended_order_is_listed_until_the_gate_has_taken_it_out,
        an_attempt_whose_order_ended_is_answered_as_released,
        a_shopper_whose_order_ended_buys_again,
        an_attempt_that_lost_to_an_order_that_ended_got_nothing,
        ended_orders_are_listed_sale_by_sale_up_to_the_limit,
        ended_orders_of_sales_that_ended_long_ago_are_found,
    }
    events {
        orders_and_changes_are_events_in_their_order,
        an_attempt_that_is_settled_again_is_no_further_event,
        numbers_go_on_while_nothing_is_recorded,
        a_page_has_the_numbers_that_were_asked_for,
        positions_are_compared_and_set,
        old_events_are_removed_the_oldest_first,
    }
    terms {
        a_change_of_units_is_a_new_version,
        settling_is_no_change_of_terms,
        a_snapshot_has_terms_and_units_of_one_moment,
    }
    settling {
        first_come_first_served_until_it_is_sold_out,
        never_more_orders_than_stock_from_many_partitions_at_once,
        a_second_order_of_a_shopper_is_refused_across_batches,
        a_second_order_of_a_shopper_is_refused_within_a_batch,
        a_shopper_in_many_partitions_at_once_gets_one_order,
        settling_again_answers_the_same,
        the_same_attempts_from_two_partitions_at_once_count_once,
        outcomes_are_found_by_attempt,
    }
    batches {
        a_worker_with_a_stale_offset_is_fenced_out,
        of_two_workers_at_one_offset_one_is_fenced_out,
        what_cannot_be_settled_leaves_nothing_until_it_is_buried,
        a_batch_of_garbage_only_moves_the_offset,
        batches_of_several_partitions_are_settled_together,
        of_batches_settled_together_all_stand_or_none,
        a_partition_is_repositioned_only_from_where_it_stands,
        batches_over_several_sales_in_any_order_do_not_deadlock,
    }
    windows {
        a_standing_order_is_the_answer_whatever_the_time_of_a_record,
        where_windows_are_forgotten_every_time_is_taken_and_no_terms_change,
    }
    leases {
        every_partition_has_one_owner_and_shares_are_fair,
        a_silent_members_partitions_are_taken_over,
        a_paused_member_finds_its_partitions_gone,
        a_partition_handed_back_is_free_for_others,
        who_leaves_hands_everything_back,
        a_member_hands_back_only_what_is_its_own,
        heartbeats_at_the_same_moment_do_not_lease_twice,
        a_lease_says_where_to_read_on,
        groups_do_not_see_each_other,
    }
} }

// Makes a module with the suite of statements by hand on a bed.
contract! { [by_hand_on_postgres: PostgresBed, by_hand_on_sqlite: SqliteBed] {
    accounts {
        accounts_made_by_hand_are_known_by_their_keys,
        the_older_of_two_accounts_with_one_key_has_it_and_both_log_in,
        a_key_that_becomes_free_goes_to_the_account_without_one,
        a_changed_name_has_a_changed_key,
    }
    people {
        a_service_account_has_scopes_and_a_secret_and_changes_end_its_tokens,
        a_service_account_whose_entry_cannot_be_written_is_not_changed,
        service_accounts_are_listed_and_a_shopper_is_none,
        a_subject_has_one_account_also_of_many_that_make_it_at_once,
        a_subject_whose_account_was_deleted_gets_another_one,
        an_erasure_leaves_nothing_of_a_person_and_the_log_proved,
        an_entry_is_changed_by_an_erasure_alone,
        an_erasure_finds_other_letters_and_spares_longer_addresses,
    }
    webhooks {
        changes_of_endpoints_are_noted_without_their_secrets,
        an_endpoint_whose_entry_cannot_be_written_is_not_changed,
        there_is_a_highest_number_of_endpoints,
    }
    sessions {
        an_account_has_the_role_it_was_made_with,
        ending_tokens_covers_all_that_were_issued_and_is_told_to_nodes,
        accounts_with_ended_tokens_are_read_at_the_start_of_a_node,
        disabling_ends_the_tokens_and_enabling_brings_none_back,
        statements_by_hand_end_tokens_as_commands_do,
        a_password_is_set_only_over_the_one_that_was_compared,
        of_two_who_come_with_one_reset_token_one_sets_the_password,
        a_reset_token_ends_with_its_hour_the_next_token_and_another_password,
    }
    orders {
        an_order_too_many_written_by_hand_is_refused,
        a_second_order_written_by_hand_is_refused,
        a_second_order_for_an_attempt_written_by_hand_is_refused,
        an_order_of_another_product_than_the_sales_is_refused,
        orders_written_by_hand_take_and_give_back_units,
        stock_set_by_hand_must_tell_the_truth,
        sales_of_one_product_cannot_overlap,
    }
    events {
        statements_by_hand_are_events,
        a_sale_that_is_ended_before_its_time_is_an_event,
        a_draft_has_no_events_until_it_is_published,
        an_undone_change_is_no_event,
    }
    auditing {
        settled_attempts_are_paged_with_what_stands_of_them,
    }
    settling {
        settling_again_answers_the_same_and_changes_nothing,
        the_cause_of_a_rejection_is_recorded,
    }
    windows {
        who_was_let_in_before_a_sale_was_shortened_gets_an_order,
        an_order_that_was_taken_over_is_the_answer_whatever_the_time_of_its_record,
        of_a_sale_without_a_history_every_time_is_taken,
    }
} }

// What holds of ledgers that can be set back while their log and gate go on. A data file has its log
// inside, and nobody else has it open.
contract! { [set_back_on_postgres: PostgresBed, set_back_on_model: ModelBed] {
    accounts {
        ids_continue_above_an_account_that_a_record_proves,
        at_a_position_of_another_state_everything_is_read_again,
    }
} }

// What operators change, on a bed.
contract! { [operators_on_postgres: PostgresBed, operators_on_sqlite: SqliteBed] {
    demo {
        demo_data_is_made_once_and_is_in_the_action_log,
        a_demo_sale_leaves_room_for_those_that_are_there,
        demo_data_that_was_not_completed_is_missing_and_is_completed,
        a_sale_that_is_over_is_left_out,
        nothing_is_made_when_the_sale_cannot_be,
        demo_data_made_by_many_at_once_is_one_sale,
    }
    products {
        a_product_is_made_and_changed,
        a_taken_sku_is_refused,
        a_product_that_was_changed_meanwhile_is_stale,
        a_product_changed_by_hand_has_a_new_version,
    }
    changes {
        a_draft_is_seen_by_operators_only,
        every_change_raises_the_version_once_and_is_noted,
        what_changes_nothing_leaves_no_trace,
        a_note_over_a_note_that_the_operator_did_not_see_is_stale,
        a_draft_that_is_cancelled_stays_unseen,
        nobody_is_let_in_by_the_window_of_a_draft,
        an_edit_of_another_version_is_stale,
        changes_that_the_phase_does_not_allow_are_refused,
        the_phase_is_that_of_the_moment_when_the_sale_is_locked,
        live_sales_of_a_product_do_not_overlap,
        two_publications_of_overlapping_sales_at_once_make_one_live,
        an_unknown_product_or_sale_is_not_found,
        statements_by_hand_count_the_same,
        a_live_sale_never_becomes_a_draft_again,
        units_can_be_added_while_orders_are_settled,
        sales_are_listed_page_by_page,
    }
    withdrawals {
        a_withdrawal_lowers_the_units_when_it_is_closed,
        a_withdrawal_that_took_nothing_is_refused,
        closing_twice_counts_once,
        closing_at_once_from_many_processes_counts_once,
        no_more_units_are_taken_than_remain,
        drafts_and_ended_sales_give_no_units,
        a_sale_has_a_bounded_number_of_pending_withdrawals,
        withdrawals_of_sales_that_ended_long_ago_are_found,
    }
    cancelling {
        a_cancelled_order_returns_its_unit,
        a_cancelled_order_without_restocking_takes_its_unit_along,
        an_order_is_cancelled_once,
        the_history_of_an_attempt_is_told,
        orders_are_listed_page_by_page,
        cancelling_and_settling_at_once_keep_the_balance,
    }
    keys {
        of_three_requests_with_one_key_at_once_one_is_made,
        another_request_with_the_key_is_told,
        a_key_belongs_to_its_actor,
        a_refused_change_uses_no_key,
        a_key_without_a_change_is_used_as_well,
        a_stored_answer_is_the_first_one,
        a_key_is_used_anew_after_a_day,
        a_withdrawal_is_found_by_its_key,
    }
    retention {
        attempts_of_sales_that_are_over_are_removed_and_orders_stay,
        records_that_are_read_again_after_their_attempts_were_removed_get_no_order,
        drafts_and_sales_whose_end_was_moved_keep_what_came_later,
    }
    action_log {
        an_entry_says_who_changed_what_and_why,
        entries_of_many_changes_at_once_are_one_chain,
        entries_cannot_be_changed_by_a_statement,
        a_changed_entry_is_named,
        a_missing_entry_is_named,
        entries_that_were_cut_off_are_named,
        a_change_that_was_undone_leaves_no_entry,
    }
} }
