//! Which instances of templates there are: those that a template names, those that a unit depends
//! on, and those that somebody has asked for. A file or a link with an instance's name comes first.

use std::collections::{HashSet, VecDeque};

use super::diagnostic::{Diagnostic, Report, quoted};
use super::directory::{BadUnit, Loaded, TemplateFile};
use super::parts::{Parts, Role, template_of};
use super::survey::{Found, Survey};
use super::template::{self, Template};
use crate::supervision::unit::Unit;

/// The most instances that are made of all templates together.
const MAX_INSTANCES: usize = 20_000;
/// The most bytes of templates that are read for them, each as often as it has instances.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The making of instances.
pub(super) struct Making<'s> {
    survey: &'s Survey<'s>,
    /// Sorted by name.
    templates: Vec<Parts>,
    loaded: &'s mut Loaded,
    wanted: VecDeque<String>,
    seen: HashSet<String>,
    made: usize,
    bytes: usize,
}

impl<'s> Making<'s> {
    pub fn new(survey: &'s Survey<'s>, templates: Vec<Parts>, loaded: &'s mut Loaded) -> Self {
        Self {
            survey,
            templates,
            loaded,
            wanted: VecDeque::new(),
            seen: HashSet::new(),
            made: 0,
            bytes: 0,
        }
    }

    /// Makes all that are named by a template or needed by a unit, and those that are asked for.
    pub fn of_all(mut self, asked: &[String]) {
        if self.templates.is_empty() && asked.is_empty() {
            return;
        }
        for parts in std::mem::take(&mut self.templates) {
            self.read_template(&parts);
            self.templates.push(parts);
        }
        self.wanted.extend(asked.iter().cloned());
        self.wanted.extend(self.loaded.units.iter().flat_map(needed));
        self.make_wanted();
        self.tell_instances();
    }

    /// Makes these, and those that they need.
    pub fn only(mut self, names: &[String]) {
        for name in names {
            // A link that is not loaded yet will do.
            if let Some(Found::Parts(parts)) = self.survey.find(name)
                && parts.role == Role::Instance
            {
                self.seen.insert(name.clone());
                self.take(name, Found::Parts(parts));
            }
        }
        self.wanted.extend(names.iter().cloned());
        self.make_wanted();
    }

    /// Takes what a template says about itself, and wants the instances that it names.
    fn read_template(&mut self, parts: &Parts) {
        let prefix = parts.name.strip_suffix('@').unwrap_or_default();
        let (said, wrong) = parts.with_template(|root, template, sources| {
            let names = template.instances().filter_map(|node| Some((node.place, node.text()?)));
            let names = names.map(|(place, text)| {
                template::instance_name(prefix, text).map_err(|why| {
                    let mut report = Report::new(sources);
                    report.inside("instances", |report| report.at(place, why));
                    (format!("{prefix}@{}", quoted(text).trim_matches('"')), report.finish())
                })
            });
            (about(parts, root, template), names.collect::<Vec<_>>())
        });
        let mut names_any = false;
        if let Some((about, names)) = said {
            self.loaded.templates.push(about);
            for name in names {
                match name {
                    Ok(name) => {
                        names_any = true;
                        self.wanted.push_back(name.as_str().to_owned());
                    }
                    Err((name, diagnostics)) => {
                        self.loaded.bad.push(BadUnit { name, diagnostics });
                    }
                }
            }
        }
        // The instances say what is wrong with their template, if there is any.
        let wrong = if names_any { wrong } else { parts.wrong() };
        if !wrong.is_empty() {
            self.loaded.bad.push(BadUnit { name: parts.name.clone(), diagnostics: wrong });
        }
    }

    fn make_wanted(&mut self) {
        while let Some(name) = self.wanted.pop_front() {
            if self.survey.has(&name) || !self.seen.insert(name.clone()) {
                continue;
            }
            let Some(template) = template_of(&name) else { continue };
            let known = self.templates.binary_search_by(|parts| parts.name.cmp(&template));
            let found = match known {
                Ok(at) => {
                    let parts = self.templates[at].clone();
                    Some(self.survey.instance_of(&name, Found::Parts(parts)))
                }
                Err(_) => self.survey.instance(&name),
            };
            if let Some(found) = found {
                self.take(&name, found);
            }
        }
    }

    fn take(&mut self, name: &str, found: Found) {
        let parts = match found {
            Found::Parts(parts) => parts,
            Found::Masked(path) => return self.loaded.masked.push((name.to_owned(), path)),
            Found::Bad(wrong) => return self.loaded.take(|| name.to_owned(), Err(wrong)),
            Found::Plain { .. } => return,
        };
        self.made += 1;
        self.bytes += parts.files.iter().map(|file| file.text.len()).sum::<usize>();
        if self.made > MAX_INSTANCES || self.bytes > MAX_BYTES {
            let message = format!(
                "too many instances; at most {MAX_INSTANCES} are made, of at most {MAX_BYTES} bytes \
                 of templates, each counted as often as it has instances"
            );
            let wrong = Diagnostic::of_file(&parts.files[0].path, message);
            return self.loaded.take(|| name.to_owned(), Err(vec![wrong]));
        }
        let unit = parts.unit();
        if let Ok(unit) = &unit {
            self.wanted.extend(needed(unit));
        }
        self.loaded.take(|| name.to_owned(), unit);
    }

    /// Says of each template which units were made of it.
    fn tell_instances(&mut self) {
        for template in &mut self.loaded.templates {
            let made = self.loaded.units.iter().filter(|unit| *unit.source == *template.source);
            template.instances = made.map(|unit| unit.name.as_str().to_owned()).collect();
            template.instances.sort();
        }
    }
}

/// The instances that a unit depends on.
fn needed(unit: &Unit) -> impl Iterator<Item = String> {
    let names = unit.needs.iter().map(|need| need.unit.as_str());
    names.filter(|name| template_of(name).is_some()).map(str::to_owned)
}

/// What the list of templates says of one.
fn about(parts: &Parts, root: &super::node::Node<'_>, template: &Template<'_>) -> TemplateFile {
    use super::node::Value;
    let description = match &root.value {
        Value::Map(map) => map.iter().find(|(key, _)| key.text() == Some("description")),
        Value::Null | Value::Scalar(_) | Value::List(_) => None,
    };
    let parameters = template.parameters();
    TemplateFile {
        name: parts.name.clone(),
        source: parts.files[0].path.clone(),
        description: description.and_then(|(_, text)| text.text()).unwrap_or_default().to_owned(),
        parameters: parameters
            .map(|(name, default)| (name.to_owned(), default.map(str::to_owned)))
            .collect(),
        instances: Vec::new(),
    }
}
