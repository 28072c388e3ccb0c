//! The keys of hooks, conditions and conflicts.

use super::super::{condition, depends, hooks};
use super::{Key, form};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    Key { name: "start_pre", help: "commands before each start",
        note: "; a failure fails the start", form: &form::HOOKS,
        default: "none", examples: &["/usr/sbin/nginx -t"],
        read: |d, n, r, form| d.start_pre = hooks::hooks(n, r, form) },
    Key { name: "start_post", help: "commands once it is up",
        note: ", before it counts as up", form: &form::HOOKS,
        default: "none", examples: &["{command: [curl, -sf, http://localhost/], timeout: 5s}"],
        read: |d, n, r, form| d.start_post = hooks::hooks(n, r, form) },
    Key { name: "stop_post", help: "commands after its end",
        note: ", whatever the end was", form: &form::HOOKS,
        default: "none", examples: &["rm -f /run/web.tmp"],
        read: |d, n, r, form| d.stop_post = hooks::hooks(n, r, form) },
    Key { name: "condition", help: "what must hold, or the start is skipped",
        note: "", form: &form::CONDITION,
        default: "none", examples: &["[{path_exists: /etc/foo}]"],
        read: |d, n, r, form| d.conditions = condition::conditions(n, r, form) },
    Key { name: "conflicts", help: "units that cannot live beside it",
        note: "; a start of one stops the other", form: &form::NAMES,
        default: "none", examples: &["[apache2]"],
        read: |d, n, r, form| d.conflicts = depends::names(n, r, form) },
];
