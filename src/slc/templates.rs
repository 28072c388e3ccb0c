//! `slc list --templates`: reads the unit files itself, and asks a supervisor, if there is one,
//! which instances it was told to start beside those that files name.

use std::fmt::Write;

use serde_json::{Value, json};

use super::args::Place;
use super::end::{End, Failed, put};
use super::style::{Style, clean, columns_of, pad};
use super::unit_dirs::directories;
use super::{Supervisor, to_json};
use crate::protocol::Request;
use crate::protocol::message::Listing;
use crate::unit_file::TemplateFile;

pub(super) fn run(
    supervisor: &Supervisor,
    json: bool,
    place: &Place,
    style: &Style,
) -> Result<End, Failed> {
    let directories = directories(supervisor, place)?;
    let asked = match supervisor.ask::<Listing>(&Request::List) {
        Ok(listing) if place.dirs.is_empty() => {
            let names = listing.services.into_iter().map(|service| service.name);
            names.filter(|name| name.contains('@')).collect()
        }
        _ => Vec::new(),
    };
    let templates = directories.read(&asked)?.templates;
    if json {
        let all: Vec<Value> = templates.iter().map(object).collect();
        return put(&to_json(&json!({"templates": all})));
    }
    put(&render(&templates, style))
}

fn object(template: &TemplateFile) -> Value {
    let parameters: serde_json::Map<String, Value> = template
        .parameters
        .iter()
        .map(|(name, default)| (name.clone(), default.clone().into()))
        .collect();
    json!({
        "name": template.name,
        "source": template.source.display().to_string(),
        "description": template.description,
        "parameters": parameters,
        "instances": template.instances,
    })
}

const HEADER: [&str; 4] = ["TEMPLATE", "PARAMETERS", "INSTANCES", "DESCRIPTION"];

/// Each template in a line. A parameter without a default stands alone.
fn render(templates: &[TemplateFile], style: &Style) -> String {
    if templates.is_empty() {
        return "no templates\n".to_owned();
    }
    let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let row = |template: &TemplateFile| {
        let parameter = |(name, default): &(String, Option<String>)| match default {
            Some(default) => format!("{name}={}", clean(default)),
            None => name.clone(),
        };
        let parameters: Vec<_> = template.parameters.iter().map(parameter).collect();
        let short = |name: &String| name.strip_prefix(&template.name).unwrap_or(name).to_owned();
        let instances: Vec<_> = template.instances.iter().map(short).collect();
        [
            clean(&template.name).into_owned(),
            or_none(parameters.join(" ")),
            or_none(instances.join(" ")),
            clean(&template.description).into_owned(),
        ]
    };
    let rows: Vec<[String; 4]> = templates.iter().map(row).collect();
    let widths: [usize; 3] = std::array::from_fn(|column| {
        let widest = rows.iter().map(|row| columns_of(&row[column])).max().unwrap_or(0);
        widest.max(HEADER[column].len())
    });
    let mut out = String::new();
    for (number, row) in std::iter::once(&HEADER.map(str::to_owned)).chain(&rows).enumerate() {
        let [name, parameters, instances, description] = row;
        let [w_name, w_parameters, w_instances] = widths;
        let line = format!(
            "{name:w_name$}  {}  {instances:w_instances$}  {description}",
            pad(parameters, w_parameters),
        );
        let line = line.trim_end();
        // Writing to a String cannot fail.
        let _ = match number {
            0 => writeln!(out, "{}", style.paint(line, "1")),
            _ => writeln!(out, "{line}"),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::style::Style;
    use super::{TemplateFile, object, render};

    #[test]
    fn templates_stand_in_columns() {
        let style = Style { color: false, width: None, now: 0, zone: TimeZone::UTC };
        let template = TemplateFile {
            name: "agetty@".into(),
            source: "/etc/yml-services/agetty@.yml".into(),
            description: "Login on %i\x1b".into(),
            parameters: vec![("baud".into(), Some("9600".into())), ("term".into(), None)],
            instances: vec!["agetty@tty1".into(), "other@tty2".into()],
        };
        let bare = TemplateFile {
            name: "x@".into(),
            description: String::new(),
            parameters: vec![],
            instances: vec![],
            ..template.clone()
        };
        assert_eq!(
            render(&[template.clone(), bare], &style),
            "\
TEMPLATE  PARAMETERS      INSTANCES        DESCRIPTION
agetty@   baud=9600 term  tty1 other@tty2  Login on %i\\x1b
x@        -               -
"
        );
        assert_eq!(render(&[], &style), "no templates\n");
        assert_eq!(object(&template)["parameters"]["term"], serde_json::Value::Null);
    }
}
