//! `slc schema`.

use crate::unit_file::{SchemaOf, schema};

/// Which files the schema is for; units of their own without a flag.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// That of templates, NAME@.yml: values may hold %i and parameters
    #[arg(long, conflicts_with = "drop_in")]
    template: bool,
    /// That of drop-ins, NAME.yml.d/*.yml: nothing is required, key+ adds, ~ takes away
    #[arg(long)]
    drop_in: bool,
}

/// The schema, in many lines: for people to read as well.
pub(super) fn text(wanted: &Wanted) -> String {
    let of = match (wanted.template, wanted.drop_in) {
        (true, _) => SchemaOf::Template,
        (false, true) => SchemaOf::DropIn,
        (false, false) => SchemaOf::Unit,
    };
    // Plain data with string keys always makes JSON.
    let mut text = serde_json::to_string_pretty(&schema(of)).unwrap_or_default();
    text.push('\n');
    text
}
