//! The client, for people and scripts.
//!
//! Each command is one request and one answer, rendered into one string and written at once. The
//! renderings are pure functions of the answer and a [`style::Style`].

mod activations;
mod args;
mod blame;
mod cat;
mod chain;
mod check;
mod completions;
mod edit;
mod enable;
mod end;
mod enter;
mod graph;
mod help;
mod import;
mod journal;
mod list;
mod man;
mod orders;
mod plan;
mod plot;
mod power;
mod schema;
mod status;
pub mod style;
mod templates;
mod tree;
mod unit_dirs;
mod upgrade;
mod watch;
mod web;
mod why;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::journal::clean_json;
use crate::power::Power;
use crate::protocol::Request;
use crate::protocol::client::{Client, ClientError};
use crate::protocol::message::{Listing, Version, Versioned};
use args::{Args, Command};
use end::{End, put};
use style::Style;

/// How long a question may take when nothing else is said. The supervisor answers in
/// milliseconds; whoever waits for this long waits for a supervisor that hangs.
const QUESTION_TIME: Duration = Duration::from_secs(10);
/// How long whoever waited for a supervisor that went away waits for the next one.
const NEXT_SUPERVISOR: Duration = Duration::from_secs(10);

/// Runs slc on this process's arguments and gives its exit status.
#[must_use]
pub fn main() -> ExitCode {
    // clap writes usage errors and help itself and exits with 2 and 0.
    let args = Args::parse();
    let supervisor = Supervisor::of(&args);
    let end = run(&args, &supervisor);
    end.unwrap_or_else(|failed| failed.tell(&supervisor)).into()
}

fn run(args: &Args, supervisor: &Supervisor) -> Result<End, end::Failed> {
    let style = || Style::of_stdout(args.color);
    match &args.command {
        Command::List { json, sockets: true, .. } => {
            activations::sockets(supervisor, *json, &style())
        }
        Command::List { json, timers: true, .. } => {
            activations::timers(supervisor, *json, &style())
        }
        Command::List { json, paths: true, .. } => activations::paths(supervisor, *json, &style()),
        Command::List { json, templates: true, units, .. } => {
            templates::run(supervisor, *json, units, &style())
        }
        Command::Cat { unit, json, units } => cat::run(supervisor, unit, *json, units),
        Command::Edit { unit, full, units } => edit::run(supervisor, unit, *full, units, &style()),
        Command::Enable(wanted) => enable::run(supervisor, enable::Verb::Enable, wanted, &style()),
        Command::Disable(wanted) => {
            enable::run(supervisor, enable::Verb::Disable, wanted, &style())
        }
        Command::List { json, names, .. } => {
            let listing: Listing = supervisor.ask(&Request::List)?;
            put(&match (json, names) {
                (true, _) => to_json(&listing),
                (false, true) => list::names(&listing),
                (false, false) => list::render(&listing, &style()),
            })
        }
        Command::Status { units, json } => status::run(supervisor, units, *json, &style()),
        Command::Start(order) => orders::run(supervisor, orders::Verb::Start, order),
        Command::Stop(order) => orders::run(supervisor, orders::Verb::Stop, order),
        Command::Restart(order) => orders::run(supervisor, orders::Verb::Restart, order),
        Command::Reload { order, wished } if order.units.is_empty() => {
            plan::reload(supervisor, wished, order.json, &style())
        }
        Command::Reload { order, .. } => orders::run(supervisor, orders::Verb::Reload, order),
        Command::Plan { wished, json } => plan::show(supervisor, wished, *json, &style()),
        Command::Why { unit, json } => why::run(supervisor, unit, *json, &style()),
        Command::Graph(drawing) => graph::run(supervisor, drawing, &style()),
        Command::Blame { json } => blame::run(supervisor, *json, &style()),
        Command::CriticalChain { unit, json } => {
            chain::run(supervisor, unit.as_deref(), *json, &style())
        }
        Command::Plot { all } => plot::run(supervisor, *all, &style()),
        Command::Kill { signal, who, unit } => orders::kill(supervisor, unit, *signal, *who),
        Command::Enter { unit, command } => enter::run(supervisor, unit, command),
        Command::Journal(wanted) => journal::run(supervisor, wanted, &style()),
        Command::Import(wanted) => import::run(wanted),
        Command::Watch { json } => watch::run(supervisor, *json, &style()),
        Command::Poweroff => power::run(supervisor, Power::PowerOff),
        Command::Reboot => power::run(supervisor, Power::Reboot),
        Command::Halt => power::run(supervisor, Power::Halt),
        Command::Kexec => power::run(supervisor, Power::Kexec),
        Command::LastShutdown { json, log_dir } => {
            power::last_shutdown(supervisor, *json, log_dir.as_deref(), &style())
        }
        Command::Upgrade { program } => upgrade::run(supervisor, program.as_deref()),
        Command::Version { json } => version(supervisor, *json),
        Command::Check(wanted) => check::run(supervisor, wanted, &style()),
        Command::Schema(wanted) => put(&schema::text(wanted)),
        Command::Completions { shell } => put(&completions::script(*shell)),
        Command::Man { dir } => man::run(dir),
        Command::Help { topic } => help::run(topic, &style()),
    }
}

/// Where the supervisor is, and how patient we are.
struct Supervisor {
    socket: std::path::PathBuf,
    timeout: Option<Duration>,
}

impl Supervisor {
    fn of(args: &Args) -> Self {
        Self { socket: args.socket(), timeout: args.timeout }
    }

    /// Asks something that is answered at once.
    fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, end::Failed> {
        let timeout = self.timeout.unwrap_or(QUESTION_TIME);
        Ok(self.connect()?.call(request, Some(timeout))?)
    }

    /// Gives an order, whose answer may take as long as the service does.
    fn order<T: DeserializeOwned>(&self, request: &Request) -> Result<T, ClientError> {
        self.connect()?.call(request, self.timeout)
    }

    /// Waits for the next supervisor, after the last one has gone away: it may have been upgraded,
    /// or killed and started again. Gives a connection over which it has told who it is.
    fn wait_for_next(&self) -> Result<(Client, Version), ClientError> {
        let until = Instant::now() + self.timeout.unwrap_or(NEXT_SUPERVISOR);
        loop {
            match self.connect().and_then(|client| self.greet(client)) {
                // The socket of the last one may outlive it for a moment.
                Err(ClientError::NotThere { .. } | ClientError::HungUp)
                    if Instant::now() < until =>
                {
                    std::thread::sleep(Duration::from_millis(10));
                }
                other => return other,
            }
        }
    }

    fn greet(&self, mut client: Client) -> Result<(Client, Version), ClientError> {
        let patience = Some(self.timeout.unwrap_or(QUESTION_TIME));
        let Versioned { version } = client.call(&Request::Version, patience)?;
        Ok((client, version))
    }

    fn connect(&self) -> Result<Client, ClientError> {
        Client::connect(&self.socket, self.timeout.unwrap_or(QUESTION_TIME))
    }
}

/// One line of JSON.
fn to_json<T: Serialize>(value: &T) -> String {
    // Plain data with string keys always makes JSON.
    let mut line = clean_json(serde_json::to_string(value).unwrap_or_default());
    line.push('\n');
    line
}

fn version(supervisor: &Supervisor, json: bool) -> Result<End, end::Failed> {
    let answer: Versioned = supervisor.ask(&Request::Version)?;
    if json {
        return put(&to_json(&answer));
    }
    let version = answer.version;
    let controllers = if version.controllers.is_empty() {
        "none: limits cannot be held".to_owned()
    } else {
        version.controllers.join(" ")
    };
    put(&format!(
        "slc          {}\n\
         supervisor   {}, process {}\n\
         kernel       {}\n\
         cgroups      {}\n\
         controllers  {controllers}\n\
         spawning     {}\n\
         units        {}\n\
         run          {}\n\
         logs         {}\n",
        env!("CARGO_PKG_VERSION"),
        version.version,
        version.pid,
        version.kernel,
        version.cgroup_root,
        version.spawning,
        version.units,
        version.run_dir,
        version.log_dir,
    ))
}
