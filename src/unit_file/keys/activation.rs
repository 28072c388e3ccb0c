//! Keys about what starts a service, and the sockets that it is given.

use super::super::{activation, sockets};
use super::Key;
use super::form::Form;

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    Key { name: "sockets", help: "sockets that are opened for it and passed on", form: &SOCKETS,
        read: |d, n, r, form| d.activation.sockets = sockets::sockets(n, r, form) },
    Key { name: "activation", help: "when a service with sockets is started", form: &ACTIVATION,
        read: |d, n, r, form| d.activation.mode = r.scalar(n, form, activation::mode) },
];

const SOCKETS: Form = Form {
    words: sockets::FORM,
    schema: r#"{"type":"object","minProperties":1,"maxProperties":200,
        "propertyNames":{"pattern":"^[A-Za-z0-9_.-]+$"},"additionalProperties":{"oneOf":[
        {"type":["string","integer"],"minimum":1,"maximum":65535},
        {"type":"object","additionalProperties":false,"required":["listen"],"properties":{
        "listen":{"type":["string","integer"],"minimum":1,"maximum":65535},
        "type":{"enum":["stream","dgram","seqpacket","fifo"]},
        "mode":{"type":["string","integer"]},"user":{"type":["string","integer"]},
        "group":{"type":["string","integer"]},"backlog":{"type":"integer","minimum":1},
        "ipv6_only":{"type":"boolean"},"reuse_port":{"type":"boolean"},
        "free_bind":{"type":"boolean"}}}]}}"#,
};
const ACTIVATION: Form =
    Form { words: activation::MODE, schema: r#"{"enum":["boot","on_demand"]}"# };
