//! The contract of the stock gate: one suite for every engine, and beside it what only a server can do wrong.
//!
//! An engine takes part by implementing [`Engine`] and by its name in `contract!` below.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // clippy.toml exempts only the tests' own bodies

mod announcing;
mod auditing;
mod closing;
mod ending;
mod identity;
mod loading;
mod losses;
mod model;
mod recording;
mod redis_faults;
mod reserving;
mod results;
mod scene;
mod terms;
mod withdrawing;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use flashsale::{
    engine::{embedded::Embedded, redis::RedisGate},
    ids::{LedgerId, SaleId},
    port::StockGate,
    rules::sale::Part,
};
use tempfile::TempDir;

use self::model::{ModelProcess, ModelServer};
use crate::support::{
    embedded,
    redis::{RedisOptions, RedisServer, cluster_cli, cluster_config},
};

/// Long enough for a busy machine.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
const RESULT_TTL: Duration = Duration::from_mins(10);

/// A gate under test, and what it needs to live. Sales and shoppers are random, so that engines may be shared.
#[async_trait]
pub trait Engine: Send + Sync + Sized {
    async fn start() -> Self;

    fn gate(&self) -> Arc<dyn StockGate>;

    /// Writes a result as another version of the service did. False if this engine has no such history.
    fn write_raw_result(&self, key: &str, value: &str) -> bool;

    /// Seconds until the result is forgotten, if this engine can tell.
    fn result_ttl_secs(&self, key: &str) -> Option<i64>;
}

/// Redis, one server.
pub struct Single {
    server: RedisServer,
    gate: Arc<RedisGate>,
}

/// The name of a sale's key.
fn key(sale: SaleId, part: Part) -> String {
    let name = match part {
        Part::Stock => "stock",
        Part::Holders => "holders",
        Part::Pending => "pending",
        Part::Meta => "meta",
    };
    format!("flashsale:{{{sale}}}:{name}")
}

#[async_trait]
impl Engine for Single {
    async fn start() -> Self {
        let server = RedisServer::start(RedisOptions::default());
        let gate = RedisGate::connect(&server.config(COMMAND_TIMEOUT), RESULT_TTL)
            .await
            .expect("the server is up");
        Self {
            server,
            gate: Arc::new(gate),
        }
    }

    fn gate(&self) -> Arc<dyn StockGate> {
        self.gate.clone()
    }

    fn write_raw_result(&self, key: &str, value: &str) -> bool {
        self.server.cli(&["SET", key, value]) == "OK"
    }

    fn result_ttl_secs(&self, key: &str) -> Option<i64> {
        self.server.cli(&["TTL", key]).parse().ok()
    }
}

/// Redis Cluster.
pub struct Cluster {
    gate: Arc<RedisGate>,
}

#[async_trait]
impl Engine for Cluster {
    async fn start() -> Self {
        let gate = RedisGate::connect(&cluster_config(COMMAND_TIMEOUT), RESULT_TTL)
            .await
            .expect("the cluster of scripts/services.sh is up");
        Self {
            gate: Arc::new(gate),
        }
    }

    fn gate(&self) -> Arc<dyn StockGate> {
        self.gate.clone()
    }

    fn write_raw_result(&self, key: &str, value: &str) -> bool {
        cluster_cli(&["SET", key, value]) == "OK"
    }

    fn result_ttl_secs(&self, key: &str) -> Option<i64> {
        cluster_cli(&["TTL", key]).parse().ok()
    }
}

/// In memory, with a data file of its own for results.
pub struct InMemory {
    engines: Embedded,
    _directory: TempDir,
}

#[async_trait]
impl Engine for InMemory {
    async fn start() -> Self {
        let (directory, engines) = embedded::start(RESULT_TTL);
        Self {
            engines,
            _directory: directory,
        }
    }

    fn gate(&self) -> Arc<dyn StockGate> {
        self.engines.gate.clone()
    }

    /// No other version ever wrote into a data file.
    fn write_raw_result(&self, _: &str, _: &str) -> bool {
        false
    }

    /// See `results` of the engine.
    fn result_ttl_secs(&self, _: &str) -> Option<i64> {
        None
    }
}

/// An engine that is a server, shared by many nodes: it keeps a sale under several keys, of which one can be lost.
#[async_trait]
pub trait Server: Engine {
    /// The same gate as nodes of this ledger have it.
    async fn of_ledger(&self, ledger: LedgerId) -> Arc<dyn StockGate>;

    fn lose(&self, sale: SaleId, part: Part);
}

#[async_trait]
impl Server for Single {
    async fn of_ledger(&self, ledger: LedgerId) -> Arc<dyn StockGate> {
        let config = self.server.config(COMMAND_TIMEOUT);
        let gate = RedisGate::connect(&config, RESULT_TTL).await;
        Arc::new(gate.expect("the server is up").of_ledger(ledger))
    }

    fn lose(&self, sale: SaleId, part: Part) {
        assert_eq!(self.server.cli(&["DEL", &key(sale, part)]), "1");
    }
}

#[async_trait]
impl Server for Cluster {
    async fn of_ledger(&self, ledger: LedgerId) -> Arc<dyn StockGate> {
        let gate = RedisGate::connect(&cluster_config(COMMAND_TIMEOUT), RESULT_TTL).await;
        Arc::new(gate.expect("the cluster is up").of_ledger(ledger))
    }

    fn lose(&self, sale: SaleId, part: Part) {
        assert_eq!(cluster_cli(&["DEL", &key(sale, part)]), "1");
    }
}

/// Runs a function of the suite on an engine of its own.
async fn run<E: Engine>(test: impl AsyncFnOnce(E)) {
    test(E::start().await).await;
}

contract! { [on_a_single_server: Single, on_a_cluster: Cluster, in_memory: InMemory, on_a_model_server: ModelServer, on_a_model_process: ModelProcess] {
    reserving {
        exactly_the_stock_is_reserved_under_concurrency,
        a_shopper_gets_one_unit_whatever_the_calls,
        a_resent_reservation_stays_releasable,
        a_second_press_makes_release_impossible,
        a_claim_makes_release_impossible,
        a_release_beside_a_press_or_a_claim_excludes_it,
        a_released_unit_can_be_bought_again_once,
        release_by_another_attempt_changes_nothing,
        nobody_gets_a_unit_outside_the_window,
        a_sale_opens_by_the_gates_clock,
        a_holder_is_told_so_after_the_end,
        a_moved_window_counts_at_once,
        an_unknown_sale_is_closed,
        pending_attempts_become_overdue_until_claimed,
        a_large_batch_is_one_decision,
    }
    recording {
        an_order_of_the_pending_attempt_keeps_its_unit,
        an_order_of_a_claimed_attempt_keeps_its_unit,
        an_order_of_an_unknown_shopper_takes_a_unit,
        an_order_of_another_attempt_takes_over_the_unit,
        a_failed_attempt_gives_its_unit_back,
        a_failure_of_another_attempt_changes_nothing,
        an_attempt_beside_an_order_passes_its_unit_on,
        an_order_stands_whatever_is_recorded_later,
        a_sale_is_closed_when_the_ledger_takes_an_order_back,
        settlements_of_one_shopper_in_one_call_add_up,
        returns_tell_when_a_refused_shopper_may_hope_again,
    }
    loading {
        a_loaded_sale_knows_its_holders,
        a_sale_that_is_being_loaded_is_closed,
        an_open_sale_is_not_loaded_again,
        a_load_within_its_lease_keeps_others_out,
        a_superseded_load_can_do_nothing,
        repeated_steps_of_a_load_change_nothing,
        a_record_at_any_step_of_a_load_keeps_the_balance,
        a_failure_recorded_while_loading_changes_nothing,
        records_race_a_load_without_harm,
    }
    results {
        a_rejected_attempt_says_nothing_of_a_shopper_who_does_not_wait,
        results_of_settlements_can_be_read,
        a_failed_result_never_replaces_a_success_of_the_same_sale,
        a_result_of_a_newer_sale_replaces_an_older_one,
        a_holder_is_never_told_an_older_sales_result,
        an_order_is_told_while_the_products_next_sale_is_on,
        a_failed_says_nothing_of_an_attempt_that_came_after_it,
        many_are_told_at_once_what_each_is_told_alone,
        nobody_is_told_failed_while_the_sale_is_being_loaded,
        results_are_written_for_an_unknown_sale,
        results_of_the_original_service_are_read,
        results_are_forgotten_after_their_time,
    }
    announcing {
        results_are_announced_when_they_are_recorded,
        results_of_a_sale_that_the_gate_does_not_know_are_announced,
        shoppers_are_told_of_a_sale_what_it_and_its_results_say,
        an_order_that_ends_is_announced,
        nothing_is_certain_of_a_sale_whose_holders_are_unknown,
        groups_of_sales_have_every_sale_once_and_can_be_followed,
    }
    terms {
        newer_terms_add_and_take_units,
        older_terms_change_nothing,
        other_terms_of_the_version_in_force_change_nothing,
        terms_are_in_force_in_an_open_sale_only,
        terms_sent_by_many_at_once_end_as_the_newest,
        a_paused_sale_refuses_everyone_but_its_holders,
        a_cancelled_sale_answers_as_one_that_has_ended,
        a_pause_is_told_within_the_window_only_and_before_sold_out,
    }
    withdrawing {
        units_that_are_set_aside_cannot_be_bought,
        up_to_takes_what_is_available_and_exact_all_or_none,
        a_repeated_withdrawal_takes_nothing_more,
        a_closed_movement_is_not_subtracted_twice,
        a_movement_is_cleared_although_its_terms_are_in_force,
        older_terms_clear_nothing,
        a_caller_that_saw_older_terms_takes_nothing_anew,
        a_withdrawal_that_comes_late_is_given_back,
        units_are_set_aside_in_an_open_sale_only,
        a_sale_is_loaded_with_the_units_of_pending_movements_set_aside,
        a_repeated_opening_sets_nothing_aside_again,
        withdrawals_and_presses_at_once_share_the_units,
        a_sale_with_units_set_aside_is_sound_and_tells_results,
        a_hundred_movements_are_listed_and_cleared_at_once,
    }
    ending {
        an_ended_order_frees_its_unit_and_its_shopper,
        an_ended_order_that_is_recorded_later_takes_no_unit,
        orders_end_in_an_open_sale_only,
        an_order_that_ended_before_a_load_can_come_back_with_its_snapshot,
        a_thousand_orders_end_in_one_call,
        a_released_attempt_gives_its_unit_back_and_says_nothing,
    }
    closing {
        a_sound_sale_is_closed_only_if_told,
        a_closed_sale_keeps_its_pending_attempts_until_they_are_settled,
    }
    auditing {
        available_units_and_holders_are_the_initial_stock_at_every_step,
        available_units_and_holders_add_up_while_shoppers_come_and_go,
        everyone_s_holding_is_listed_with_how_far_it_has_come,
        stored_results_are_those_of_the_sale_alone,
        a_result_is_forgotten_only_while_it_stands_as_given,
        a_sale_is_unloaded_once_nothing_is_pending_and_can_be_loaded_again,
    }
} }

// What only a server can show.
contract! { [keys_on_a_single_server: Single, keys_on_a_cluster: Cluster, keys_on_a_model_server: ModelServer] {
    losses {
        a_sale_that_lost_its_stock_is_closed,
        a_sale_that_lost_its_holders_is_closed,
        a_sale_that_lost_its_pending_attempts_lists_them_again,
        a_sale_that_lost_its_meta_lists_its_pending_attempts_again,
    }
    withdrawing {
        units_set_aside_are_forgotten_with_their_key_and_set_aside_anew,
    }
    identity {
        the_note_of_account_ids_only_rises,
        the_note_of_account_ids_is_each_ledger_s_own,
        a_result_of_another_ledger_reads_as_none,
        a_sale_of_another_ledger_is_unknown_until_it_is_loaded,
    }
} }
