//! Holds the interface descriptions against what serde really writes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::message::{
    Activations, Changed, Failure, Listing, Nothing, Outcomes, Planned, Reply, Request, Signalled,
    Statuses, Verb, Version, Versioned, Web, Who,
};
use super::{DESCRIPTION, INTERFACE, wire};
use crate::power::Power;
use crate::supervision::diff::{KeyChange, When};
use crate::supervision::nodes::{Edge, Hold, Node};
use crate::supervision::plan::{Deed, Step, Wish};
use crate::supervision::status::{
    Change, HealthWord, Mask, Outcome, PathStatus, Problem, ProcessStatus, SocketStatus, StateWord,
    Status, Summary, TimerStatus,
};

/// A type of the interface language.
#[derive(Debug, Clone, PartialEq)]
enum Type {
    Bool,
    Int,
    String,
    Named(String),
    Array(Box<Type>),
    Optional(Box<Type>),
    Struct(Vec<(String, Type)>),
    Enum(Vec<String>),
}

#[derive(Debug, Default)]
struct Description {
    types: BTreeMap<String, Type>,
    methods: BTreeMap<String, (Type, Type)>,
    errors: BTreeMap<String, Type>,
}

/// The words and signs of a description.
struct Tokens(Vec<String>);

impl Tokens {
    fn of(text: &str) -> Self {
        let mut spaced = String::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap();
            for sign in line.replace("->", ">").replace("[]", "*").chars() {
                if "(),:?*>".contains(sign) {
                    spaced.extend([' ', sign, ' ']);
                } else {
                    spaced.push(sign);
                }
            }
            spaced.push(' ');
        }
        Self(spaced.split_whitespace().rev().map(str::to_owned).collect())
    }

    fn next(&mut self) -> Option<String> {
        self.0.pop()
    }

    fn take(&mut self, sign: &str) -> bool {
        let here = self.0.last().is_some_and(|token| token == sign);
        if here {
            self.0.pop();
        }
        here
    }

    fn a_type(&mut self) -> Type {
        match self.next().unwrap().as_str() {
            "?" => Type::Optional(Box::new(self.a_type())),
            "*" => Type::Array(Box::new(self.a_type())),
            "bool" => Type::Bool,
            "int" => Type::Int,
            "string" => Type::String,
            "(" => self.fields(),
            name => Type::Named(name.to_owned()),
        }
    }

    /// What follows an opening bracket: the fields of a struct or the words of an enum.
    fn fields(&mut self) -> Type {
        let (mut fields, mut words) = (Vec::new(), Vec::new());
        while !self.take(")") {
            let name = self.next().unwrap();
            if self.take(":") {
                fields.push((name, self.a_type()));
            } else {
                words.push(name);
            }
            self.take(",");
        }
        if words.is_empty() { Type::Struct(fields) } else { Type::Enum(words) }
    }
}

fn parse(text: &str) -> (String, Description) {
    let mut tokens = Tokens::of(text);
    assert!(tokens.take("interface"));
    let interface = tokens.next().unwrap();
    let mut all = Description::default();
    let mut names = BTreeSet::new();
    while let Some(keyword) = tokens.next() {
        let name = tokens.next().unwrap();
        let a_type = tokens.a_type();
        // Types, methods and errors share one set of names; independent clients insist on it.
        assert!(names.insert(name.clone()), "{name} is there twice");
        match keyword.as_str() {
            "type" => drop(all.types.insert(name, a_type)),
            "error" => drop(all.errors.insert(name, a_type)),
            "method" => {
                assert!(tokens.take(">"), "{name} returns something");
                let out = tokens.a_type();
                all.methods.insert(name, (a_type, out));
            }
            other => panic!("{other} is no keyword"),
        }
    }
    (interface, all)
}

impl Description {
    /// Panics unless the value is exactly of this type; `full` means that optional fields are
    /// there, otherwise that they are not.
    fn check(&self, a_type: &Type, value: &Value, full: bool, place: &str) {
        match (a_type, value) {
            (Type::Bool, Value::Bool(_)) | (Type::String, Value::String(_)) => {}
            (Type::Int, Value::Number(number)) => assert!(!number.is_f64(), "{place}"),
            (Type::Named(name), value) => self.check(&self.types[name], value, full, place),
            (Type::Optional(inner), value) => self.check(inner, value, full, place),
            (Type::Enum(words), Value::String(word)) => {
                assert!(words.contains(word), "{place}: {word}");
            }
            (Type::Array(inner), Value::Array(items)) => {
                assert!(!items.is_empty(), "{place} proves nothing while it is empty");
                for item in items {
                    self.check(inner, item, full, place);
                }
            }
            (Type::Struct(fields), Value::Object(object)) => {
                let wanted: BTreeSet<&str> = fields
                    .iter()
                    .filter(|(_, a_type)| full || !matches!(a_type, Type::Optional(_)))
                    .map(|(name, _)| name.as_str())
                    .collect();
                let found: BTreeSet<&str> = object.keys().map(String::as_str).collect();
                assert_eq!(found, wanted, "{place}");
                for (name, a_type) in fields.iter().filter(|(name, _)| object.contains_key(name)) {
                    self.check(a_type, &object[name], full, &format!("{place}.{name}"));
                }
            }
            (a_type, value) => panic!("{place}: {value} is not {a_type:?}"),
        }
    }
}

fn text() -> String {
    "x".into()
}

fn summary(full: bool) -> Summary {
    Summary {
        name: text(),
        description: text(),
        state: StateWord::Up,
        health: full.then_some(HealthWord::Unhealthy),
        since: 1,
        wanted: true,
        why: text(),
        main_pid: full.then_some(1),
        restarts: 1,
    }
}

fn status(full: bool) -> Status {
    Status {
        summary: summary(full),
        source: text(),
        drop_ins: vec![text()],
        triggered_by: full.then(text),
        kind: text(),
        start: 1,
        hooks_are_numbered: true,
        first_pid: full.then_some(1),
        leaf: full.then(text),
        status_text: text(),
        health_text: text(),
        last_exit: text(),
        last_stop: text(),
        waiting_for: vec![text()],
        older_keys: vec![text()],
        missing_limits: vec![text()],
        findings: vec![text()],
        cpu_usec: full.then_some(1),
        memory_bytes: full.then_some(1),
        processes: 1,
        tree: vec![ProcessStatus {
            pid: 1,
            inner_pid: full.then_some(1),
            parent: 1,
            depth: 1,
            age: 1,
            state: text(),
            command: text(),
            adopted: true,
            main: true,
            wait_channel: text(),
        }],
        log: text(),
    }
}

fn node(full: bool) -> Node {
    Node {
        name: text(),
        description: text(),
        kind: text(),
        state: StateWord::Up,
        since: 1,
        why: text(),
        because_of: full.then(text),
        wanted: true,
        origin: full.then(text),
        needed_by: full.then(text),
        triggered_by: full.then(text),
        last_order: text(),
        enabled: true,
        needs: vec![Edge { unit: text(), condition: text(), required: true }],
        after: vec![text()],
        held_by: vec![Hold { unit: full.then(text), text: text(), hopeless: true }],
        start: 1,
        restarts: 1,
        last_exit: text(),
        next: full.then_some(1),
        due: full.then_some(1),
        free: full.then_some(1),
        began: full.then_some(1),
        up: full.then_some(1),
        waited_for: full.then(text),
        waited_turn: true,
    }
}

fn activations(full: bool) -> Activations {
    let state = StateWord::Up;
    let socket = SocketStatus {
        unit: text(),
        name: text(),
        address: text(),
        open: true,
        watched: true,
        state,
    };
    let (next, last) = (full.then_some(1), full.then_some(1));
    let timer = TimerStatus { unit: text(), timer: text(), next, last, result: text(), state };
    let path = PathStatus { unit: text(), path: text(), condition: text(), watched: true, state };
    Activations { sockets: vec![socket], timers: vec![timer], paths: vec![path] }
}

/// Each method with a request that asks it and a reply to it.
fn samples(full: bool) -> Vec<(Request, Reply)> {
    let problems = vec![Problem { name: text(), text: text() }];
    let outcome = Outcome { unit: text(), done: true, state: StateWord::Up, message: text() };
    let (from, to) = (StateWord::Up, StateWord::Down);
    let change = Change { unit: text(), start: 1, from, to, why: text(), at: 1 };
    let version = Version {
        version: text(),
        pid: 1,
        kernel: text(),
        cgroup_root: text(),
        units: text(),
        run_dir: text(),
        log_dir: text(),
        spawning: text(),
        controllers: vec![text()],
    };
    let order = |verb| {
        let outcomes = Outcomes { outcomes: vec![outcome.clone()] };
        (Request::Order { verb, units: vec![text()], wait: false }, Reply::Outcomes(outcomes))
    };
    let one = vec![text()];
    let wish = Wish { only: one.clone(), restart: true };
    let (old, new, when) = (full.then(text), full.then(text), When::AtOnce);
    let keys = vec![KeyChange { key: text(), old, new, when }];
    let steps = vec![Step { unit: text(), deed: Deed::Change, why: text(), keys }];
    let planned = Planned { done: true, steps, problems: problems.clone() };
    vec![
        (
            Request::List,
            Reply::List(Listing {
                services: vec![summary(full)],
                problems: problems.clone(),
                findings: problems.clone(),
                masked: vec![Mask { name: text(), link: text() }],
                notice: text(),
            }),
        ),
        (Request::Status { units: one }, Reply::Status(Statuses { services: vec![status(full)] })),
        (Request::Activations, Reply::Activations(activations(full))),
        order(Verb::Start),
        order(Verb::Stop),
        order(Verb::Restart),
        order(Verb::Reload),
        (
            Request::Kill { unit: text(), signal: 1, who: Who::Pid(1) },
            Reply::Signalled(Signalled { signalled: 1 }),
        ),
        (Request::ReadUnits(wish.clone()), Reply::Planned(planned.clone())),
        (Request::Plan(wish), Reply::Planned(planned)),
        (Request::Graph, Reply::Web(Web { now: 1, wall: 1, units: vec![node(full)] })),
        (Request::Watch, Reply::Changed(Changed { change })),
        (Request::Version, Reply::Version(Versioned { version })),
        (Request::Power(Power::PowerOff), Reply::Nothing(Nothing {})),
        (Request::Power(Power::Reboot), Reply::Nothing(Nothing {})),
        (Request::Power(Power::Halt), Reply::Nothing(Nothing {})),
        (Request::Power(Power::Kexec), Reply::Nothing(Nothing {})),
        (Request::Upgrade { program: Some(text()) }, Reply::Nothing(Nothing {})),
    ]
}

fn failures() -> Vec<Failure> {
    vec![
        Failure::InterfaceNotFound { interface: text() },
        Failure::MethodNotFound { method: text() },
        Failure::MethodNotImplemented { method: text() },
        Failure::InvalidParameter { parameter: text() },
        Failure::PermissionDenied {},
        Failure::ExpectedMore {},
        Failure::NoSuchUnit { unit: text(), similar: vec![text()] },
        Failure::NotRunning { unit: text() },
        Failure::Refused { unit: text(), reason: text() },
        Failure::NoPower { reason: text() },
        Failure::NoUpgrade { program: text(), reason: text() },
        Failure::BadMessage { reason: text() },
        Failure::Busy { connections: 1 },
    ]
}

#[test]
fn every_method_takes_and_gives_what_its_description_says() {
    let (interface, described) = parse(DESCRIPTION);
    assert_eq!(interface, INTERFACE);
    for full in [true, false] {
        let mut seen = BTreeSet::new();
        for (request, reply) in samples(full) {
            let mut call = wire::write_call(&request);
            assert_eq!(call.pop(), Some(0));
            let call: Value = serde_json::from_slice(&call).unwrap();
            let name = call["method"].as_str().unwrap().strip_prefix("org.treeward.Supervisor.");
            let name = name.unwrap().to_owned();
            let (takes, gives) = &described.methods[&name];
            described.check(takes, &call["parameters"], true, &name);
            described.check(gives, &serde_json::to_value(&reply).unwrap(), full, &name);
            seen.insert(name);
        }
        assert_eq!(seen, described.methods.keys().cloned().collect());
    }
}

#[test]
fn every_error_carries_what_its_description_says() {
    let (_, standard) = parse(include_str!("org.varlink.service.varlink"));
    let (_, ours) = parse(DESCRIPTION);
    let mut seen = 0;
    for failure in failures() {
        let written = serde_json::to_value(&failure).unwrap();
        let (interface, name) = written["error"].as_str().unwrap().rsplit_once('.').unwrap();
        let described = if interface == INTERFACE { &ours } else { &standard };
        described.check(&described.errors[name], &written["parameters"], true, name);
        seen += 1;
    }
    assert_eq!(seen, standard.errors.len() + ours.errors.len());
}

#[test]
fn the_state_words_are_those_of_the_description() {
    let (_, described) = parse(DESCRIPTION);
    let words = StateWord::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(described.types["State"], Type::Enum(words));
}

#[test]
fn the_deeds_of_a_plan_are_those_of_the_description() {
    let (_, described) = parse(DESCRIPTION);
    let words = Deed::ALL.iter().map(|deed| deed.as_str().to_owned()).collect();
    assert_eq!(described.types["Deed"], Type::Enum(words));
    let written = Deed::ALL.map(|deed| serde_json::to_value(deed).unwrap());
    assert_eq!(written, Deed::ALL.map(|deed| Value::from(deed.as_str())));
    let words = [When::AtOnce, When::NextStart].map(|when| serde_json::to_value(when).unwrap());
    assert_eq!(words, ["at_once", "next_start"].map(Value::from));
}

#[test]
fn what_the_client_writes_the_server_understands() {
    for (request, _) in samples(true) {
        let mut call = wire::write_call(&request);
        call.pop();
        let asked = wire::read_call(&call).unwrap();
        assert_eq!(asked.more, request == Request::Watch);
        assert_eq!(asked.what, Ok(wire::Question::Ours(request)));
    }
}
