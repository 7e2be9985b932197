//! What every cluster does, and what a sync makes of it.
//!
//! One suite for all clusters: on [`MemoryCluster`] always, and on a real
//! server if `GITOPS_TEST_KUBECONFIG` names a kubeconfig. Each test has a
//! namespace of its own there. `GITOPS_TEST_RESTART` may name a command that
//! kills and restarts the server.

#[path = "cluster/health.rs"]
mod health;
#[path = "cluster/plans.rs"]
mod plans;
#[path = "cluster/suite.rs"]
mod suite;
#[path = "cluster/world.rs"]
mod world;

macro_rules! on_every_cluster {
    ($($test:ident)*) => {
        mod memory {
            $(
                #[tokio::test(start_paused = true)]
                async fn $test() {
                    crate::suite::$test(&crate::world::memory().await).await;
                }
            )*
        }

        mod real {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    if let Some(world) = crate::world::real(stringify!($test)).await {
                        crate::suite::$test(&world).await;
                    }
                }
            )*
        }
    };
}

on_every_cluster! {
    apply_creates_and_then_changes_nothing
    fields_have_owners
    a_uid_protects_from_deleting_another_object
    lists_select_by_label_and_namespace
    watches_show_what_happened_since
    refusals_say_what_is_wrong
    secrets_stay_out_of_errors
    waves_wait_for_health
    a_degraded_object_stops_later_waves
    hooks_run_to_their_end
    a_failing_hook_runs_the_hooks_for_failures
    what_is_declared_no_more_is_pruned_in_reverse
    definitions_come_before_their_objects
    a_dry_run_changes_nothing
    a_bad_object_in_the_last_wave_stops_the_first
    what_cannot_be_changed_is_recreated_on_demand
    replaced_objects_lose_what_others_added
    a_timeout_ends_running_hooks
    a_second_plan_finds_nothing_to_do
    what_others_changed_is_changed_back
    a_field_that_is_declared_no_more_goes
    the_destination_is_created_first
    defaults_are_those_of_a_server
    fields_of_a_client_are_taken_over
    ignored_fields_are_left_to_others
}

/// Restarting a server disturbs the other tests on it, so this one runs there
/// only if it is asked for by `GITOPS_TEST_RESTART`, and should run alone.
mod restart {
    #[tokio::test(start_paused = true)]
    async fn memory() {
        let world = crate::world::memory().await;
        crate::suite::a_sync_outlives_an_outage(&world).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn real() {
        if std::env::var_os("GITOPS_TEST_RESTART").is_none() {
            return;
        }
        if let Some(world) = crate::world::real("restart").await {
            crate::suite::a_sync_outlives_an_outage(&world).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_is_lost_is_made_up_for() {
        crate::suite::whatever_is_lost_is_made_up_for().await;
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let world = crate::world::memory().await;
        crate::suite::patience_ends(&world).await;
    }
}
