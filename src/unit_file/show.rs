//! A unit of several files as one YAML text, each key with the place that it came from, and as
//! JSON.

mod writer;

use std::fmt::Write;

use serde_json::{Map, json};

use super::diagnostic::{Diagnostic, Place, Source};
use super::node::{Node, Value};
use super::parts::{Parts, Role};
use writer::Writer;

impl Parts {
    /// The unit as YAML text: the files as comments at the top, and behind each key the file and
    /// line that it came from. Read again it is the same unit. Empty where the YAML of one of the
    /// files is unsound; with all that is wrong.
    #[must_use]
    pub fn to_yaml(&self) -> (String, Vec<Diagnostic>) {
        let (shown, mut wrong) = self.shown(|root, sources| {
            let mut out = String::new();
            let role = match self.role {
                Role::Unit => "",
                Role::Template => ", a template",
                Role::Instance => ", an instance of a template",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(out, "# {}{role}", self.name);
            for source in sources {
                let _ = writeln!(out, "# {}", printable(&source.file.display().to_string()));
            }
            Writer::new(&mut out, sources).root(root);
            out
        });
        wrong.extend(self.more_wrong(&wrong));
        (shown.unwrap_or_default(), wrong)
    }

    /// The text that a file of its own would begin with: that of the file that it is made of, or of
    /// an instance what its template makes of it.
    #[must_use]
    pub fn to_whole(&self) -> String {
        if self.role != Role::Instance {
            return self.files[0].text.clone();
        }
        // Its own drop-ins are merged into that file as well.
        let shared = Self { files: self.files[..self.own].to_vec(), ..self.clone() };
        shared.to_yaml().0
    }

    /// The same as an object: `unit`, its `files`, `keys` with their values as they are written, and
    /// where each came `from`.
    #[must_use]
    pub fn to_json(&self) -> (serde_json::Value, Vec<Diagnostic>) {
        let (shown, mut wrong) = self.shown(|root, sources| {
            let mut from = Map::new();
            places(root, "", sources, &mut from);
            (value(root), from)
        });
        wrong.extend(self.more_wrong(&wrong));
        let (keys, from) = shown.unwrap_or_default();
        let files: Vec<String> = self.files().map(|file| file.display().to_string()).collect();
        (json!({"unit": self.name, "files": files, "keys": keys, "from": from}), wrong)
    }

    /// What is wrong with values, where nothing was wrong before.
    fn more_wrong(&self, wrong: &[Diagnostic]) -> Vec<Diagnostic> {
        if wrong.is_empty() { self.wrong() } else { Vec::new() }
    }

    /// A template as it is written, an instance with everything put in.
    fn shown<T>(
        &self,
        show: impl FnOnce(&Node<'_>, &[Source<'_>]) -> T,
    ) -> (Option<T>, Vec<Diagnostic>) {
        if self.is_template() {
            self.with_merged(|root, sources| show(root, sources))
        } else {
            self.with_root(|root, sources, _| show(&root, sources))
        }
    }
}

/// The values of a node as JSON; scalars as they are written.
fn value(node: &Node<'_>) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Scalar(text) => text.as_ref().into(),
        Value::List(list) => list.iter().map(value).collect(),
        Value::Map(map) => {
            let entry = |(key, it): &(Node, Node)| Some((key.text()?.to_owned(), value(it)));
            serde_json::Value::Object(map.iter().filter_map(entry).collect())
        }
    }
}

/// Where each key came from, under its path.
fn places(
    node: &Node<'_>,
    path: &str,
    sources: &[Source<'_>],
    from: &mut Map<String, serde_json::Value>,
) {
    let Value::Map(map) = &node.value else { return };
    for (key, value) in map {
        let Some(text) = key.text() else { continue };
        let path = if path.is_empty() { text.to_owned() } else { format!("{path}.{text}") };
        from.insert(path.clone(), origin(key.place, sources).into());
        places(value, &path, sources, from);
    }
}

fn origin(place: Place, sources: &[Source<'_>]) -> String {
    let file = sources[place.file as usize].file.display().to_string();
    format!("{}:{}", printable(&file), place.line)
}

/// A text that ends no comment and does nothing to a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::rc::Rc;

    use super::super::parts::{Parts, Role, Text};

    fn parts(name: &str, role: Role, own: usize, files: &[(&str, &str)]) -> Parts {
        let text = |(path, text): &(&str, &str)| {
            Rc::new(Text { path: PathBuf::from(path), text: (*text).to_owned() })
        };
        Parts { name: name.into(), role, files: files.iter().map(text).collect(), own }
    }

    #[test]
    fn each_key_says_where_it_came_from() {
        let app = parts(
            "app",
            Role::Unit,
            2,
            &[
                (
                    "/usr/lib/treeward/app.yml",
                    "command: /usr/bin/app -x\nnice: 1\nafter: [a]\n\
                  environment:\n  A: 1\n  B: \"a: b\"\n",
                ),
                (
                    "/etc/yml-services/app.yml.d/x.yml",
                    "# More.\nnice: 2\nafter+: [b]\n\
                  environment: {C: |\n",
                ),
            ],
        );
        // The second file is broken, which is told with its own place.
        let (yaml, wrong) = app.to_yaml();
        assert_eq!((yaml.as_str(), wrong.len()), ("", 1), "{wrong:?}");
        assert!(
            wrong[0].to_string().starts_with("/etc/yml-services/app.yml.d/x.yml:"),
            "{wrong:?}"
        );

        let app = parts(
            "app",
            Role::Unit,
            2,
            &[
                (
                    "/usr/lib/treeward/app.yml",
                    "command: /usr/bin/app -x\nnice: 1\nafter: [a]\n\
                  environment:\n  A: 1\n  B: \"a: b\"\n",
                ),
                (
                    "/etc/yml-services/app.yml.d/x.yml",
                    "# More.\nnice: 2\nafter+: [b]\n\
                  environment: {C: ''}\nstop_command: [sh, -c, \"x\\ny\"]\n",
                ),
            ],
        );
        let (yaml, wrong) = app.to_yaml();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(
            yaml,
            "\
# app
# /usr/lib/treeward/app.yml
# /etc/yml-services/app.yml.d/x.yml
command: /usr/bin/app -x  # /usr/lib/treeward/app.yml:1
nice: 2  # /etc/yml-services/app.yml.d/x.yml:2
after:  # /usr/lib/treeward/app.yml:3
  - a
  - b  # /etc/yml-services/app.yml.d/x.yml:3
environment:  # /usr/lib/treeward/app.yml:4
  A: 1  # /usr/lib/treeward/app.yml:5
  B: \"a: b\"  # /usr/lib/treeward/app.yml:6
  C: \"\"  # /etc/yml-services/app.yml.d/x.yml:4
stop_command:  # /etc/yml-services/app.yml.d/x.yml:5
  - sh
  - \"-c\"
  - |-
    x
    y
"
        );
        let (json, _) = app.to_json();
        assert_eq!(json["keys"]["environment"]["A"], "1");
        assert_eq!(json["from"]["environment.C"], "/etc/yml-services/app.yml.d/x.yml:4");
        assert_eq!(json["files"][0], "/usr/lib/treeward/app.yml");
    }

    #[test]
    fn an_instance_is_shown_with_everything_put_in() {
        let text = "description: \"Login on %I\"\ncommand: agetty '%i' %{baud}\n\
                    parameters: {baud: 115200}\ninstances: [tty1]\n";
        let tty = parts("agetty@a-b", Role::Instance, 1, &[("agetty@.yml", text)]);
        let (yaml, wrong) = tty.to_yaml();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(yaml.contains("description: Login on a/b  # agetty@.yml:1\n"), "{yaml}");
        let words = "command:  # agetty@.yml:2\n  - agetty\n  - a-b\n  - 115200\n";
        assert!(yaml.contains(words), "{yaml}");
        let hooks = "start_pre:\n- {command: 'a %i', timeout: 5s}\n- b %i\n- c\n\
                     start_post: d %i\nstop_post: {command: e %i}\nready: {command: f %i}\n";
        let hooked = format!("command: a\n{hooks}");
        let hooked = parts("x@a b", Role::Instance, 1, &[("x@.yml", hooked.as_str())]);
        let (yaml, _) = hooked.to_yaml();
        for words in [
            "  -\n    command:  # x@.yml:3\n      - a\n      - a b\n    timeout: 5s",
            "  -\n    - b\n    - a b\n  - c\n",
            "start_post:  # x@.yml:6\n  -\n    - d\n    - a b\n",
            "stop_post:  # x@.yml:7\n  command:  # x@.yml:7\n    - e\n    - a b\n",
            "ready:  # x@.yml:8\n  command:  # x@.yml:8\n    - f\n    - a b\n",
        ] {
            assert!(yaml.contains(words), "{words}\n{yaml}");
        }
        assert!(!yaml.contains("parameters"), "{yaml}");
        let template = parts("agetty@", Role::Template, 1, &[("agetty@.yml", text)]);
        let (yaml, wrong) = template.to_yaml();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(yaml.contains("description: Login on %I  # agetty@.yml:1\n"), "{yaml}");
        assert!(yaml.contains("  baud: 115200  # agetty@.yml:3\n"), "{yaml}");
    }
}
