//! Keys that only a template has. They are taken out of it before its other keys are read.

use super::super::diagnostic::Report;
use super::super::node::Node;
use super::{Key, form};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    Key { name: "parameters", help: "of a template: what differs between instances",
        note: ", and the defaults", form: &form::PARAMETERS,
        default: "none", examples: &["{baud: 115200}"],
        read: |_, n, r, _| only_a_template(n, r, "parameters") },
    Key { name: "instances", help: "of a template: the instances that there are",
        note: ", perhaps with their parameters", form: &form::INSTANCES,
        default: "none", examples: &["[tty1]", "{ttyS0: {baud: 9600}}"],
        read: |_, n, r, _| only_a_template(n, r, "instances") },
];

fn only_a_template(node: &Node, report: &mut Report<'_>, what: &str) {
    report.at(
        node.place,
        format!(
            "only a template has {what}, and this is none: the name of its \
                                   file ends with @, as in agetty@.yml"
        ),
    );
}
