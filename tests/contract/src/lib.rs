//! What the engine may rely on in a source and in a memory, beyond what the types of its ports say.
//!
//! The same cases run on the models of the simulation and on the adapters over a real PostgreSQL, so that a model
//! never promises more than the real thing keeps. Where the two differ the real one is right, unless the port says
//! otherwise.
//!
//! A case opens a world of its own ([`world`]) and talks to the ports alone; the world lends it what no port has: an
//! application that changes rows beside us, a person who decides, and time that goes by.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "cases are tests, though they live in a library"
)]
#![allow(missing_docs, reason = "the name of a case says what must hold")]

pub mod memory;
pub mod rows;
pub mod sample;
pub mod source;
pub mod table;
pub mod world;

/// Makes a test of each case, in the world given.
#[macro_export]
macro_rules! cases {
    ($world:ty; $area:ident; $($subject:ident { $($case:ident,)* })*) => {$(
        mod $subject {
            use super::*;
            $(
                #[tokio::test]
                async fn $case() {
                    $crate::$area::$subject::$case::<$world>().await;
                }
            )*
        }
    )*};
}

/// Cases about a source that is read.
#[macro_export]
macro_rules! source_contract {
    ($world:ty) => {
        $crate::cases! {
            $world; source;
            keys {
                pages_follow_the_sources_own_order_and_not_that_of_bytes,
                numbers_are_ordered_by_value,
                a_page_begins_behind_a_key_that_is_not_there_any_more,
                a_row_shows_its_mapped_cells_as_postgresql_prints_them,
                both_ends_of_a_range_belong_to_it,
                whether_a_key_lies_in_a_range_is_told_without_its_row,
                a_point_read_answers_in_the_order_asked_and_proves_absence,
                any_number_of_keys_is_looked_for,
                what_is_not_committed_is_not_there,
                a_changed_key_is_another_row,
                two_rows_may_swap_their_keys_where_the_key_is_looked_at_with_the_commit,
                marks_rise_with_every_commit,
                a_key_of_another_shape_is_no_position,
                an_empty_table_is_known_to_be_empty,
            }
            watermark {
                rows_come_by_watermark_then_by_key_however_small_the_page,
                a_position_is_behind_its_row_and_at_its_value,
                rows_without_a_watermark_have_pages_of_their_own,
                the_ceiling_of_a_number_is_the_largest_now_and_holds_nothing_back,
                without_a_single_watermark_there_is_no_ceiling,
                an_instant_is_held_below_the_clock,
                a_table_without_a_watermark_says_so,
                a_position_that_is_no_value_of_the_column_is_refused,
                what_a_trigger_stamps_is_the_start_of_the_transaction,
            }
            late_commits {
                a_row_committed_late_with_an_older_stamp_is_read_from_the_ceiling_on,
                a_transaction_without_an_id_holds_the_ceiling_down_too,
                a_counter_waits_until_every_transaction_of_then_has_ended,
                an_id_is_counted_as_soon_as_it_is_drawn,
                a_prepared_transaction_holds_adoption_until_it_is_decided,
                of_a_prepared_transaction_nobody_knows_when_it_began,
                a_prepared_transaction_that_drew_the_last_id_is_not_passed,
            }
        }
    };
}

/// Cases about a source that is written.
#[macro_export]
macro_rules! row_contract {
    ($world:ty) => {
        $crate::cases! {
            $world; rows;
            staging {
                nothing_is_true_before_the_commit_and_everything_after_it,
                a_row_that_shows_something_else_is_moved_and_not_written,
                a_refused_row_leaves_its_neighbours_unharmed_and_names_its_column,
                what_triggers_and_precision_make_of_a_value_is_told_beside_what_was_written,
                keys_that_the_server_chooses_come_back_and_never_twice,
                a_change_of_the_key_is_told_with_the_new_one,
                keys_can_be_swapped_in_one_transaction,
                a_row_that_another_session_holds_is_refused_and_its_neighbours_are_written,
                rows_of_one_transaction_see_each_other,
                defaults_are_taken_for_what_is_not_named_only,
            }
            committing {
                an_id_tells_how_its_own_row_ended,
                answers_about_ids_come_in_the_order_asked,
                staged_rows_that_are_dropped_are_rolled_back,
                what_is_raised_at_the_commit_rolls_everything_back,
                a_key_that_would_fail_at_the_commit_is_told_before_it,
                a_transaction_without_a_row_commits_too,
                a_commit_moves_the_mark,
            }
        }
    };
}

/// Cases about a memory.
#[macro_export]
macro_rules! memory_contract {
    ($world:ty) => {
        $crate::cases! {
            $world; memory;
            admission {
                of_two_writes_of_one_subject_one_is_admitted,
                answers_come_in_the_order_asked_and_a_stale_one_leaves_nothing,
                a_decision_on_another_version_of_the_row_is_stale,
                one_item_is_not_written_twice_at_once_not_even_by_two_definitions,
                what_was_recorded_is_read_back_whole,
                open_writes_are_told_first_then_armed_ones_oldest_first,
                an_armed_write_leaves_its_subject_free_and_is_looked_for_ever_later,
                nothing_asked_is_nothing_done,
            }
            leases {
                an_older_epoch_writes_nothing,
                a_lease_that_ran_out_writes_nothing_even_if_nobody_took_it,
                a_fence_that_was_never_given_writes_nothing,
                a_fence_of_another_definition_is_no_fence,
                an_open_write_outlives_its_lease_and_is_settled_under_the_next,
            }
            settling {
                an_applied_write_is_in_the_ledger_and_its_item_is_linked,
                a_mark_that_came_after_the_look_survives_the_settlement,
                a_released_or_armed_write_leaves_ledger_and_dirty_row_alone,
                a_removed_item_leaves_the_ledger_as_it_is,
                a_row_that_an_applied_write_holds_waits_and_is_never_due,
                a_write_that_makes_both_sides_the_same_ends_a_hold,
                a_refused_write_moves_its_row_to_quarantine,
                a_slice_is_settled_whole_or_not_at_all,
                an_effect_of_somebody_else_is_unknown,
                an_item_of_another_row_cannot_be_taken,
                an_item_may_pass_from_one_row_to_another_in_one_slice,
                a_tombstone_gives_its_item_up_and_another_item_takes_its_place,
                an_armed_write_that_landed_takes_the_slot_of_the_one_it_made_fail,
                what_is_decided_while_a_write_lands_late_is_stale,
            }
            adoption {
                a_row_is_taken_where_its_version_is_the_one_it_rests_on,
                of_two_rows_of_one_identity_only_the_first_is_taken,
                a_taken_row_leaves_quarantine_and_is_not_dirty_any_more,
                a_row_that_is_not_taken_changes_nothing_else,
                an_item_is_adopted_once_over_all_definitions,
                digests_come_in_the_order_of_identities_page_by_page,
                only_live_rows_count_and_only_those_of_another_layout_or_key_are_stale,
                a_layout_keeps_the_fields_it_was_first_remembered_with,
                an_adoption_beside_an_open_write_does_not_free_it,
            }
            dirty_rows {
                every_mark_raises_the_sequence_and_keeps_the_newest_state,
                a_newer_generation_is_newer_whatever_its_position,
                of_several_marks_in_one_call_the_last_counts_with_the_newest_state,
                dirty_rows_come_in_the_order_of_identities_page_by_page,
                a_row_that_needed_nothing_goes_where_its_sequence_is_still_the_same,
                a_row_that_went_and_came_back_never_repeats_a_number,
                the_cursor_begins_at_the_beginning_and_moves_with_the_marks,
                the_generation_is_told_as_it_is_now,
            }
            quarantining {
                an_entry_is_read_back_with_its_cause,
                the_dirty_row_is_moved_where_its_sequence_is_still_the_same,
                a_due_row_becomes_dirty_again_as_it_was_and_only_once,
                a_row_that_was_not_dirty_comes_back_at_the_present_generation,
                the_same_content_is_tried_ever_later_and_at_last_needs_a_person,
                other_content_begins_anew_and_keeps_when_it_was_first_refused,
                of_two_entries_of_one_row_in_one_call_the_last_counts,
                a_row_that_a_person_accepts_waits_for_nothing_until_it_changes,
                a_person_may_have_everything_tried_again,
                what_waits_for_approval_comes_back_with_it_and_nothing_else_does,
            }
            sweeping {
                a_full_comparison_is_due_when_the_last_one_is_so_long_ago,
                a_tombstone_goes_once_every_feed_is_past_it_and_its_item_cannot_come_back,
                the_guard_counts_what_was_deleted_lately_without_a_persons_word,
            }
            verifying {
                a_verification_is_gone_on_with_where_it_was_interrupted,
                only_an_unfinished_one_with_the_same_fingerprint_is_taken_over_and_only_if_asked,
                a_finished_one_is_not_gone_on_with_and_its_pages_are_gone,
                the_newest_five_of_a_definition_are_kept,
            }
        }
    };
}

/// Cases about what a memory keeps for the way from the list to the source.
#[macro_export]
macro_rules! pull_memory_contract {
    ($world:ty) => {
        $crate::cases! {
            $world; memory;
            items {
                the_cursor_of_the_list_moves_with_its_marks,
                a_hint_stays_until_the_list_says_something_else,
                a_deletion_reported_again_keeps_its_first_time,
                the_list_says_nothing_about_a_suspected_deletion_of_the_row,
                a_hint_goes_to_quarantine_and_comes_back_with_its_row,
                rows_are_found_by_the_number_of_their_item,
                of_a_tombstone_and_a_row_with_one_item_the_row_is_found,
            }
            witnesses {
                an_insert_is_held_under_its_rows_identity_from_its_witness_on,
                a_table_that_cannot_tell_its_transactions_leaves_a_witness_without_an_id,
                a_row_that_another_write_holds_cannot_be_taken,
                only_an_open_write_of_a_row_can_be_witnessed,
                a_stale_fence_notes_nothing,
                a_row_made_from_an_item_takes_over_what_was_kept_for_the_item,
                a_mark_of_the_item_that_came_after_the_look_goes_on_as_the_rows,
                an_insert_is_settled_for_the_row_it_is_held_under_only,
            }
            conflicts {
                a_decision_is_told_until_it_was_carried_out,
                a_conflict_about_the_same_values_keeps_its_decision_and_another_one_loses_it,
                a_closed_conflict_may_come_back,
                a_decision_makes_its_row_dirty_and_due,
                conflicts_are_a_definitions_own_and_need_its_lease,
                what_comes_back_is_counted_until_a_person_decided,
                returns_of_long_ago_are_not_counted_together,
            }
        }
    };
}

#[cfg(test)]
mod tests {
    /// A case that nobody lists would never run.
    #[test]
    fn every_case_is_listed() {
        let listed = include_str!("lib.rs");
        let subjects = [
            include_str!("source/keys.rs"),
            include_str!("source/watermark.rs"),
            include_str!("source/late_commits.rs"),
            include_str!("rows/staging.rs"),
            include_str!("rows/committing.rs"),
            include_str!("memory/admission.rs"),
            include_str!("memory/leases.rs"),
            include_str!("memory/settling.rs"),
            include_str!("memory/adoption.rs"),
            include_str!("memory/dirty_rows.rs"),
            include_str!("memory/quarantining.rs"),
            include_str!("memory/sweeping.rs"),
            include_str!("memory/verifying.rs"),
            include_str!("memory/items.rs"),
            include_str!("memory/witnesses.rs"),
            include_str!("memory/conflicts.rs"),
        ];
        for subject in subjects {
            let cases = subject
                .lines()
                .filter_map(|line| line.strip_prefix("pub async fn "));
            for case in cases {
                let name = case.split(['<', '(']).next().unwrap_or_default();
                let line = format!("                {name},\n");
                assert!(listed.contains(&line), "`{name}` is in no list");
            }
        }
    }
}
