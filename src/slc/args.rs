//! What can be said on the command line.

mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::protocol::{SOCKET, Who};
use crate::unit_file::signal;
use values::{count, required, seconds, who};

const AFTER_HELP: &str = "\
Exit status:
  0  done; with status: every unit named lives, or is done
  1  it failed, or was refused
  2  the command line makes no sense
  3  a unit is not running, also when it only waits for its timer, socket or path
  4  no such unit
  5  the supervisor cannot be reached: it does not run, or went away
  6  no answer in time
  7  permission denied
  N  with enter: what the command ended with

Environment:
  TREEWARD_SOCKET  the control socket, instead of /run/treeward/control.sock
  NO_COLOR         no colours unless --color=always";

/// What all commands take stands behind what a command takes itself.
const LAST: usize = 100;

/// Starts, stops and shows services.
#[derive(Debug, Parser)]
#[command(name = "slc", version, after_long_help = AFTER_HELP, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    /// The control socket [default: $TREEWARD_SOCKET or /run/treeward/control.sock]
    #[arg(long, global = true, display_order = LAST, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// How long to wait for an answer [default: 10; orders wait as long as it takes]
    #[arg(long, global = true, display_order = LAST + 1, value_name = "SECONDS", value_parser = seconds,
          allow_negative_numbers = true)]
    pub timeout: Option<Duration>,

    /// When to use colours
    #[arg(long, global = true, display_order = LAST + 2, value_name = "WHEN", default_value = "auto")]
    pub color: Color,

    #[command(subcommand)]
    pub command: Command,
}

impl Args {
    /// The socket: from the option, the environment, or where it always is.
    pub fn socket(&self) -> PathBuf {
        let environment = || std::env::var_os("TREEWARD_SOCKET").filter(|path| !path.is_empty());
        self.socket
            .clone()
            .or_else(|| environment().map(PathBuf::from))
            .unwrap_or_else(|| SOCKET.into())
    }
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal that is not dumb, unless NO_COLOR is set
    Auto,
    /// Also in pipes and files
    Always,
    /// Nowhere
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Every service in a line, and every unit file that could not be used
    #[command(after_help = "Examples: slc list --json | jq -r '.services[].name'\n          \
                      slc list --templates")]
    List {
        /// One JSON object: {"services": [...], "problems": [...], "masked": [...]}
        #[arg(long)]
        json: bool,
        /// Only the names, one in a line
        #[arg(long, conflicts_with = "json")]
        names: bool,
        /// The sockets of units instead: where each listens, and for whom
        #[arg(long, conflicts_with_all = ["timers", "paths", "templates", "names"])]
        sockets: bool,
        /// The timers of units instead: when each is due
        #[arg(long, conflicts_with_all = ["paths", "templates", "names"])]
        timers: bool,
        /// The paths that start units instead
        #[arg(long, conflicts_with_all = ["templates", "names"])]
        paths: bool,
        /// The templates instead, their parameters with defaults, and their instances; works
        /// without a supervisor too
        #[arg(long)]
        templates: bool,
        #[command(flatten)]
        units: Place,
    },

    /// A unit as its files make it, with the file and line of each key; works without a supervisor
    #[command(after_help = "Examples: slc cat nginx\n          slc cat agetty@tty1 --json")]
    Cat {
        /// The unit, or a template
        unit: String,
        /// One JSON object: {"unit": ..., "files": [...], "keys": {...}, "from": {...}}
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        units: Place,
    },

    /// Change a unit in your editor: by a drop-in, which is checked before it counts
    #[command(after_help = "Example: slc edit nginx\n\n\
                      The editor is $VISUAL, $EDITOR, editor or vi. What it leaves is checked; what \
                      is wrong can be edited again, discarded or kept. An empty drop-in is removed.")]
    Edit {
        /// The unit, or a template
        unit: String,
        /// Edit a copy of the whole unit, not a drop-in
        #[arg(long)]
        full: bool,
        #[command(flatten)]
        units: Place,
    },

    /// Let units be there again that were disabled or masked; make instances that are named
    #[command(
        after_help = "Examples: slc enable --now nginx\n          slc enable agetty@ttyS0",
        arg_required_else_help = true
    )]
    Enable(Enable),

    /// Let units be there no more: their files are renamed to .disabled, or masked
    #[command(after_help = "Example: slc disable --now nginx", arg_required_else_help = true)]
    Disable(Enable),

    /// All that is known of units, with their processes and last log lines
    #[command(after_help = "Example: slc status nginx")]
    Status {
        /// The units; every one when none is named
        #[arg(value_name = "UNIT")]
        units: Vec<String>,
        /// One JSON object: {"services": [...]}
        #[arg(long)]
        json: bool,
    },

    /// Bring units up, after those they need
    #[command(
        after_help = "Example: slc start nginx redis",
        arg_required_else_help = true,
        mut_arg("units", required)
    )]
    Start(Order),

    /// Bring units down with every process they have
    #[command(
        after_help = "Example: slc stop nginx",
        arg_required_else_help = true,
        mut_arg("units", required)
    )]
    Stop(Order),

    /// Bring units down, then up
    #[command(
        after_help = "Example: slc restart --timeout 30 nginx",
        arg_required_else_help = true,
        mut_arg("units", required)
    )]
    Restart(Order),

    /// Let units read their configuration again; without a unit: read the unit files again
    #[command(
        after_help = "Examples: slc reload nginx\n          slc reload\n          \
                      slc reload --only nginx --restart\n\n\
                      Without a unit it does what 'slc plan' shows, or nothing where a unit is \
                      wrong; then the exit status is 1.",
        mut_arg("units", |units| units.conflicts_with_all(["only", "restart"]))
    )]
    Reload {
        #[command(flatten)]
        order: Order,
        #[command(flatten)]
        wished: Wished,
    },

    /// What reading the unit files again would do to each unit, and why; changes nothing
    #[command(after_help = "Example: slc plan --only nginx\n\n\
                      + is started or added, - stopped or removed, ~ changed in place, \
                      ! restarted; = runs an older unit until its next start.\n\
                      Exit status: 1 where a unit is wrong, so that a reload would do nothing.")]
    Plan {
        #[command(flatten)]
        wished: Wished,
        /// One JSON object: {"done": false, "steps": [...], "problems": [...]}
        #[arg(long)]
        json: bool,
    },

    /// Why a unit is up, or is not: the chain of reasons down to the root, and who asked
    #[command(after_help = "Example: slc why nginx")]
    Why {
        /// The unit
        unit: String,
        /// One JSON object: {"unit": ..., "reasons": [...]}
        #[arg(long)]
        json: bool,
    },

    /// Who needs whom, with states, as a tree
    #[command(after_help = "Examples: slc graph nginx\n          \
                            slc graph --dot | dot -Tsvg > units.svg")]
    Graph(Drawing),

    /// How long the last start of each unit took until it was up, slowest first
    #[command(after_help = "Example: slc blame --json | jq -r '.units[0].unit'")]
    Blame {
        /// One JSON object: {"units": [...]}
        #[arg(long)]
        json: bool,
    },

    /// Which chain of waits decided when a unit was up
    #[command(after_help = "Example: slc critical-chain nginx\n\n\
                      Times count from when the first unit of the boot was due; + is what a unit \
                      took itself.")]
    CriticalChain {
        /// The unit; the one that was up last in the boot when none is named
        unit: Option<String>,
        /// One JSON object: {"chain": [...]}
        #[arg(long)]
        json: bool,
    },

    /// A picture of the boot (SVG), for a browser
    #[command(after_help = "Example: slc plot > boot.svg\n\n\
                      The boot is what is enabled and what that needs, up to ten quiet seconds; \
                      what something else has started meanwhile is in italics, and what was \
                      started later is not drawn without --all.")]
    Plot {
        /// Also starts that were long after the boot
        #[arg(long)]
        all: bool,
    },

    /// Send a signal to the processes of a unit
    #[command(after_help = "Example: slc kill --signal HUP --who main nginx")]
    Kill {
        /// The signal: TERM, SIGQUIT, 15 or RTMIN+3
        #[arg(long, short, default_value = "TERM", value_parser = signal)]
        signal: i32,
        /// To all of them, to the main process, or to one by its PID
        #[arg(long, short, default_value = "all", value_parser = who)]
        who: Who,
        /// The unit
        unit: String,
    },

    /// Run a command in the guest of a unit that run-on-pid-ns runs; root's shell by default
    #[command(after_help = "Example: slc enter guest systemctl is-system-running\n\n\
                      Exit status: that of the command; 128+S when signal S ended it.")]
    Enter {
        /// The unit
        unit: String,
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
        command: Vec<std::ffi::OsString>,
    },

    /// The log of a unit; works without a supervisor too
    #[command(after_help = "Example: slc journal -f -n 20 nginx")]
    Journal(Wanted),

    /// Turn a systemd service, a Compose file or a run directory into units; needs no supervisor
    #[command(after_help = "Example: slc import nginx.service --output /etc/yml-services\n\n\
                      Without --output the units are written to standard output. What became of \
                      each directive (kept, approximated, dropped) is told on standard error, and \
                      in the units as comments.")]
    Import(super::import::Wanted),

    /// Every change of state from now on, until Ctrl-C
    #[command(after_help = "Example: slc watch --json | jq -r .why")]
    Watch {
        /// One JSON object in a line for each change
        #[arg(long)]
        json: bool,
    },

    /// Stop every service in order and switch the machine off
    #[command(after_help = "Example: slc poweroff\n\nOnly where Treeward's init runs the machine.")]
    Poweroff,

    /// Stop every service in order and start the machine anew
    #[command(after_help = "Example: slc reboot\n\nOnly where Treeward's init runs the machine.")]
    Reboot,

    /// Stop every service in order and the machine, with the power on
    #[command(after_help = "Example: slc halt\n\nOnly where Treeward's init runs the machine.")]
    Halt,

    /// Stop every service in order and start the kernel that kexec -l loaded
    #[command(after_help = "Example: slc kexec\n\nOnly where Treeward's init runs the machine.")]
    Kexec,

    /// What had to be killed when the machine, or the supervisor, last went down
    #[command(after_help = "Example: slc last-shutdown --json")]
    LastShutdown {
        /// One JSON object in a line for each entry
        #[arg(long)]
        json: bool,
        /// Where the logs are [default: what the supervisor says, or /var/log/treeward]
        #[arg(long, value_name = "PATH")]
        log_dir: Option<PathBuf>,
    },

    /// Let the supervisor become its new program, or another one; services go on
    #[command(after_help = "Example: slc upgrade\n\n\
                      The new program takes over in the same process, with the same arguments. \
                      Without PROGRAM it is the file that the supervisor was started from.")]
    Upgrade {
        /// The program, a service-launcher of any version
        program: Option<PathBuf>,
    },

    /// What is wrong with unit files; needs no supervisor
    #[command(after_help = "Example: slc check --strict units/\n\n\
                      Errors make the exit status 1, warnings only with --strict.")]
    Check(super::check::Wanted),

    /// The JSON Schema of unit files, for editors and other validators
    #[command(after_help = "Example: slc schema > ~/.config/treeward-unit.json")]
    Schema(super::schema::Wanted),

    /// A script that completes slc's commands and the names of units
    #[command(after_help = "Example: slc completions bash > /etc/bash_completion.d/slc")]
    Completions {
        /// For this shell
        shell: super::completions::Shell,
    },

    /// Write slc's manual pages into a directory, for packages
    #[command(hide = true, after_help = "Example: slc man debian/tmp/usr/share/man/man1")]
    Man {
        /// The directory
        dir: PathBuf,
    },

    /// Help with a command, with the keys of units, or with one key
    #[command(
        after_help = "Examples: slc help check\n          slc help units\n          slc help units restart"
    )]
    Help {
        /// A command; or units, and perhaps a key
        #[arg(value_name = "TOPIC")]
        topic: Vec<String>,
    },

    /// The versions, and where the supervisor works
    #[command(after_help = "Example: slc version --json")]
    Version {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

/// An order for units.
#[derive(Debug, clap::Args)]
pub(super) struct Order {
    /// The units
    #[arg(value_name = "UNIT")]
    pub units: Vec<String>,
    /// Do not wait until they have come to rest
    #[arg(long)]
    pub no_wait: bool,
    /// One JSON object: {"outcomes": [...]}
    #[arg(long)]
    pub json: bool,
}

/// What to draw of the dependencies, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Drawing {
    /// Only what this unit needs; all units when none is named
    pub unit: Option<String>,
    /// In the language of Graphviz
    #[arg(long, conflicts_with = "json")]
    pub dot: bool,
    /// Who needs it, instead
    #[arg(long)]
    pub reverse: bool,
    /// One JSON object: {"units": [...], "ties": [...]}
    #[arg(long)]
    pub json: bool,
}

/// What a reload is to do.
#[derive(Debug, clap::Args)]
pub(super) struct Wished {
    /// Only these units; the others stay as they are
    #[arg(long, value_name = "UNIT", num_args = 1..)]
    pub only: Vec<String>,
    /// Restart services that would run an older unit
    #[arg(long)]
    pub restart: bool,
}

/// Units to enable or disable.
#[derive(Debug, clap::Args)]
pub(super) struct Enable {
    /// The units, or templates
    #[arg(value_name = "UNIT", required = true)]
    pub units: Vec<String>,
    /// Let the running supervisor read its unit files again, and start or stop them
    #[arg(long)]
    pub now: bool,
    #[command(flatten)]
    pub place: Place,
}

/// Where unit files are.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// A directory of unit files; may be given several times, and a later one wins [default: what
    /// the supervisor says, or /usr/lib/treeward, /etc/yml-services and /run/treeward/units]
    #[arg(long = "units", value_name = "DIR", id = "unit-directory")]
    pub dirs: Vec<PathBuf>,
}

/// What to show of a log.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// The unit; `treeward` for the supervisor itself
    pub unit: String,
    /// Show lines as they come, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// How many of the last lines
    #[arg(long, short = 'n', default_value_t = 100, value_name = "COUNT", value_parser = count,
          allow_negative_numbers = true)]
    pub lines: usize,
    /// How to show them
    #[arg(long, short, default_value = "short", value_name = "FORMAT")]
    pub output: Format,
    /// Where the logs are [default: what the supervisor says, or /var/log/treeward]
    #[arg(long, value_name = "PATH")]
    pub log_dir: Option<PathBuf>,
}

/// How log lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Local time and text
    Short,
    /// One JSON object in a line
    Json,
}

#[cfg(test)]
mod tests;
