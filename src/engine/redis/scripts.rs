//! The Lua scripts, one file each in `scripts/`. The header of each file documents its keys, arguments and reply.

use std::sync::LazyLock;

use fred::types::scripts::Script;

/// All scripts, with their hashes.
pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(Scripts::new);

macro_rules! scripts {
    ($($name:ident),+ $(,)?) => {
        /// Each field has the name of its file.
        pub(super) struct Scripts {
            $(pub(super) $name: Script,)+
        }

        impl Scripts {
            fn new() -> Self {
                Self { $($name: Script::from_lua(include_str!(concat!("scripts/", stringify!($name), ".lua"))),)+ }
            }

            pub(super) fn all(&self) -> impl Iterator<Item = &Script> {
                [$(&self.$name),+].into_iter()
            }
        }
    };
}

scripts! {
    announce,
    attempt_purchase,
    begin_load,
    check_rights,
    claim_pending,
    close_sale,
    end_orders,
    forget_results,
    initialize_stock,
    list_holders,
    list_held_units,
    list_nodes,
    load_holders,
    overdue,
    probe_write,
    raise_account_mark,
    relist_pending,
    remove_node,
    record_outcomes,
    restore_stock,
    sale_status,
    server_time,
    set_terms,
    set_user_result,
    unload_sale,
    user_status,
    withdraw,
    write_node,
}
