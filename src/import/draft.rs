//! [`Draft`]: the unit while it is put together: its keys, and which directives each comes from.

use super::exec::{INSTANCE, UNESCAPED_INSTANCE};
use super::report::{Entry, Fate, shortened};
use super::yaml::{self, Yaml};

/// The keys of a unit in the order a person would write them.
const ORDER: &[&str] = &[
    "description",
    "type",
    "command",
    "parameters",
    "instances",
    "condition",
    "start_pre",
    "start_post",
    "stop_post",
    "ready",
    "remain_after_exit",
    "depends_on",
    "after",
    "conflicts",
    "user",
    "group",
    "working_dir",
    "env_file",
    "environment",
    "umask",
    "pid_file",
    "stop_command",
    "stop_signal",
    "stop_grace_period",
    "kill_mode",
    "reload_command",
    "reload_signal",
    "start_timeout",
    "restart",
    "restart_delay",
    "restart_max_delay",
    "restart_max_attempts",
    "restart_window",
    "healthcheck",
    "watchdog",
    "tty",
    "ulimits",
    "nice",
    "oom_score_adj",
    "mem_limit",
    "pids_limit",
    "cpus",
    "delegate",
    "sockets",
    "activation",
    "timer",
    "paths",
    "enabled",
];

/// One key of the unit.
#[derive(Debug)]
struct Slot {
    key: &'static str,
    value: Yaml,
    /// The numbers of the directives it comes from.
    from: Vec<usize>,
}

/// The keys that are set so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    slots: Vec<Slot>,
}

impl Draft {
    /// Sets a key, in the place of what it was.
    pub fn set(&mut self, key: &'static str, value: Yaml, from: &[usize]) {
        match self.slots.iter_mut().find(|slot| slot.key == key) {
            Some(slot) => {
                slot.value = value;
                slot.from.extend_from_slice(from);
            }
            None => self.slots.push(Slot { key, value, from: from.to_vec() }),
        }
    }

    /// Adds a value to a key that is a list.
    pub fn add(&mut self, key: &'static str, item: Yaml, from: usize) {
        let slot = self.slot(key, || Yaml::List(Vec::new()));
        slot.from.push(from);
        if let Yaml::List(list) = &mut slot.value
            && !list.contains(&item)
        {
            list.push(item);
        }
    }

    /// Sets an entry of a key that is a mapping.
    pub fn put(&mut self, key: &'static str, name: &str, value: Yaml, from: usize) {
        let slot = self.slot(key, || Yaml::Map(Vec::new()));
        slot.from.push(from);
        if let Yaml::Map(map) = &mut slot.value {
            match map.iter_mut().find(|(known, _)| known == name) {
                Some((_, old)) => *old = value,
                None => map.push((name.to_owned(), value)),
            }
        }
    }

    fn slot(&mut self, key: &'static str, empty: impl FnOnce() -> Yaml) -> &mut Slot {
        let at = self.slots.iter().position(|slot| slot.key == key).unwrap_or_else(|| {
            self.slots.push(Slot { key, value: empty(), from: Vec::new() });
            self.slots.len() - 1
        });
        &mut self.slots[at]
    }

    /// Notes one more directive that a key comes from.
    pub fn note(&mut self, key: &str, from: usize) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.key == key) {
            slot.from.push(from);
        }
    }

    /// Counts the directives from another one on: those before it are of no concern.
    pub fn shift(&mut self, first: usize) {
        for slot in &mut self.slots {
            slot.from.iter_mut().for_each(|number| *number = number.saturating_sub(first));
        }
    }

    /// Whether a key is set.
    pub fn has(&self, key: &str) -> bool {
        self.slots.iter().any(|slot| slot.key == key)
    }

    /// Takes a key out again, and gives the directives it came from.
    pub fn remove(&mut self, key: &str) -> Option<Vec<usize>> {
        let at = self.slots.iter().position(|slot| slot.key == key)?;
        Some(self.slots.remove(at).from)
    }

    /// The unit's text. What is only near to a directive has that directive as its comment, and
    /// what was dropped stands at the end.
    pub fn text(&self, head: &[String], entries: &[Entry], is_template: bool) -> String {
        let mut out = String::new();
        for line in head {
            comment(&mut out, line);
        }
        let place = |slot: &&Slot| ORDER.iter().position(|key| *key == slot.key);
        let mut slots: Vec<&Slot> = self.slots.iter().collect();
        slots.sort_by_key(place);
        let mut told = vec![false; entries.len()];
        for slot in slots {
            let mut from = slot.from.clone();
            from.sort_unstable();
            from.dedup();
            for number in from {
                let Some(entry) = entries.get(number) else { continue };
                if entry.fate == Fate::Approximated && !told[number] {
                    told[number] = true;
                    comment(&mut out, &about(entry));
                }
            }
            yaml::entry(&mut out, slot.key, &for_template(&slot.value, is_template), 0);
        }
        let rest = |fate: Fate| {
            let left = entries
                .iter()
                .zip(&told)
                .filter(move |(entry, told)| entry.fate == fate && !**told);
            left.map(|(entry, _)| about(entry)).collect::<Vec<_>>()
        };
        for (title, lines) in
            [("Not quite the same:", rest(Fate::Approximated)), ("Dropped:", rest(Fate::Dropped))]
        {
            if !lines.is_empty() {
                comment(&mut out, title);
                lines.iter().for_each(|line| comment(&mut out, &format!("  {line}")));
            }
        }
        out
    }
}

fn about(entry: &Entry) -> String {
    let what = match (entry.key.as_str(), entry.value.as_str()) {
        (key, "") => shortened(key, 60),
        (key, value) => format!("{}={}", shortened(key, 60), shortened(value, 50)),
    };
    if entry.why.is_empty() { what } else { format!("{what}: {}", entry.why) }
}

fn comment(out: &mut String, line: &str) {
    out.push_str("# ");
    out.push_str(&shortened(line, 400));
    out.push('\n');
}

/// Puts the template's own words in the places that were kept for them.
fn for_template(value: &Yaml, is_template: bool) -> Yaml {
    if !is_template {
        return value.clone();
    }
    let text = |text: &str| {
        text.replace('%', "%%").replace(INSTANCE, "%i").replace(UNESCAPED_INSTANCE, "%I")
    };
    match value {
        Yaml::Text(it) => Yaml::Text(text(it)),
        Yaml::Bare(it) => Yaml::Bare(it.clone()),
        Yaml::List(list) => Yaml::List(list.iter().map(|it| for_template(it, true)).collect()),
        Yaml::Map(map) => {
            Yaml::Map(map.iter().map(|(key, it)| (text(key), for_template(it, true))).collect())
        }
    }
}
