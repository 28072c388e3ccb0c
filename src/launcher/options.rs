//! The command line of `service-launcher`.

use std::path::PathBuf;

use crate::journal;

/// How many services may be starting at once for each processor.
const STARTING_A_PROCESSOR: usize = 4;

impl Options {
    /// How many services may be starting at once; 0 means no limit.
    #[must_use]
    pub fn most_starting(&self) -> usize {
        self.max_starting.unwrap_or_else(|| {
            let processors = std::thread::available_parallelism();
            processors.map_or(0, |count| count.get() * STARTING_A_PROCESSOR)
        })
    }
}

/// Supervises the services that the unit files describe.
///
/// Every start of a service is born in its own cgroup v2 leaf; the leaf says whether the service
/// lives, and the leaf is what is killed. SIGTERM stops all services in order and ends the
/// supervisor. SIGHUP reads the unit files again. After SIGKILL the services go on, and the next
/// service-launcher finds them again.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = "service-launcher",
    version,
    after_help = "Example:\n  service-launcher --units ./units --run-dir /run/mine \
                  --log-dir /var/log/mine\n\n\
                  Exit status: 0 after an orderly end, 1 when it cannot run, \
                  2 when the command line is wrong."
)]
#[group(id = "launcher")]
pub struct Options {
    /// Directory of unit files, *.yml and *.yaml, and of their drop-ins, NAME.yml.d; may be given
    /// several times, and a later one wins [default: /usr/lib/treeward, /etc/yml-services and
    /// /run/treeward/units, of which only the second must exist]
    #[arg(long, value_name = "DIR", value_parser = directory)]
    pub units: Vec<PathBuf>,
    /// The cgroup v2 directory to work below; found from /proc when not given
    #[arg(long, value_name = "PATH")]
    pub cgroup_root: Option<PathBuf>,
    /// Answer 'slc poweroff', 'reboot', 'halt' and 'kexec' by ending with the exit status 80, 81,
    /// 82 or 83, for an init that waits for it
    #[arg(long)]
    pub under_init: bool,
    /// How many services may be starting at once; 0 means no limit [default: 4 for each processor]
    #[arg(long, value_name = "COUNT", value_parser = count, allow_negative_numbers = true)]
    pub max_starting: Option<usize>,
    /// When going down takes longer than this, everything that is left is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 90, value_parser = seconds,
          allow_negative_numbers = true)]
    pub shutdown_timeout: u64,
    /// Where the last runs of persistent timers are kept over boots
    #[arg(long, value_name = "DIR", default_value = "/var/lib/treeward")]
    pub state_dir: PathBuf,
    /// Let members of this group look (list, status, watch), not control
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Be the log lane (the supervisor starts it by itself)
    #[arg(long, hide = true)]
    pub journal: bool,
    /// Options that the supervisor hands to its log lane
    #[command(flatten)]
    pub lane: journal::Options,
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "a whole number is expected, such as 8, or 0 for no limit".to_owned())
}

fn seconds(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a whole number of seconds is expected, such as 90".to_owned())
}

/// They are listed with colons between them, as in `PATH`.
fn directory(text: &str) -> Result<PathBuf, String> {
    if text.contains(':') {
        return Err("a colon cannot stand in the path of a unit directory".to_owned());
    }
    Ok(PathBuf::from(text))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Options;

    #[test]
    fn a_wrong_number_is_answered_with_what_is_expected() {
        for (option, wrong, expected) in [
            ("--log-size", &["x", "10M", "-1", "1.5"][..], "a whole number of bytes is expected"),
            ("--log-count", &["x", "0", "1001", "-1"], "a whole number from 1 to 1000 is expected"),
            ("--max-starting", &["x", "-1"], "a whole number is expected"),
            ("--shutdown-timeout", &["x", "-1", "1.5"], "a whole number of seconds is expected"),
        ] {
            for value in wrong {
                let parsed = Options::try_parse_from(["service-launcher", option, value]);
                let said = parsed.unwrap_err().to_string();
                let given = format!("invalid value '{value}' for '{option}");
                assert!(said.contains(&given) && said.contains(expected), "{said}");
            }
            assert!(Options::try_parse_from(["service-launcher", option, "7"]).is_ok());
        }
    }
}
