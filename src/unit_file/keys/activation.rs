//! Keys about what starts a service, and the sockets that it is given.

use super::super::{activation, paths, sockets, timer};
use super::Key;
use super::form::Form;

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    Key { name: "sockets", help: "sockets that are opened for it and passed on",
        note: ", by name; see \"What starts a unit\"", form: &SOCKETS,
        default: "none", examples: &["{http: 80}", "{log: {listen: /run/x.sock, type: dgram, mode: 0660}}"],
        read: |d, n, r, form| d.activation.sockets = sockets::sockets(n, r, form) },
    Key { name: "activation", help: "when a service with sockets is started",
        note: ": at `boot`, or `on_demand`, by the first connection", form: &ACTIVATION,
        default: "`boot`", examples: &["on_demand"],
        read: |d, n, r, form| d.activation.mode = r.scalar(n, form, activation::mode) },
    Key { name: "timer", help: "when it is due",
        note: "; without a `type` it is a oneshot then", form: &TIMER,
        default: "never", examples: &["Mon..Fri 02:00", "{calendar: daily, persistent: true, jitter: 10m}"],
        read: |d, n, r, form| d.activation.timers = timer::timers(n, r, form) },
    Key { name: "paths", help: "what must be so about paths for it to start",
        note: ": `exists`, `changed`, `modified`, `directory_not_empty`", form: &PATHS,
        default: "none", examples: &["{directory_not_empty: /var/spool/x}"],
        read: |d, n, r, form| d.activation.paths = paths::paths(n, r, form) },
];

const SOCKETS: Form = Form {
    words: sockets::FORM,
    schema: r##"{"type":"object","minProperties":1,"maxProperties":200,
        "propertyNames":{"maxLength":255,"pattern":"^[A-Za-z0-9_.-]+$"},
        "additionalProperties":{"anyOf":[{"$ref":"#/$defs/listen"},{"$ref":"#/$defs/socket"}]}}"##,
};
const ACTIVATION: Form =
    Form { words: activation::MODE, schema: r#"{"enum":["boot","on_demand"]}"# };
const TIMER: Form = Form {
    words: timer::FORM,
    schema: r##"{"anyOf":[{"$ref":"#/$defs/timer"},
        {"type":"array","minItems":1,"items":{"$ref":"#/$defs/timer"}}]}"##,
};
const PATHS: Form = Form {
    words: paths::FORM,
    schema: r##"{"type":"object","additionalProperties":false,
        "allOf":[{"not":{"additionalProperties":{"const":[]}}}],"properties":{
        "exists":{"$ref":"#/$defs/paths"},"changed":{"$ref":"#/$defs/paths"},
        "modified":{"$ref":"#/$defs/paths"},"directory_not_empty":{"$ref":"#/$defs/paths"}}}"##,
};
