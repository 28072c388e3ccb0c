//! `slc completions`: the commands and options as clap knows them, and the names of units as the
//! supervisor knows them at that moment.

use std::fmt::Write;

use clap::{CommandFactory, ValueEnum};
use clap_complete::generate;

use super::args::Args;

/// A shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    /// bash, with the package bash-completion or without
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// The script for a shell.
pub(super) fn script(shell: Shell) -> String {
    let mut command = Args::command();
    let mut out = Vec::new();
    let shell_of_clap = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    generate(shell_of_clap, &mut command, "slc", &mut out);
    let script = String::from_utf8_lossy(&out).into_owned();
    match shell {
        Shell::Bash => script + &bash(&with_units()),
        Shell::Zsh => zsh(&script),
        Shell::Fish => script + &fish(&with_units()),
    }
}

/// The commands that take names of units.
fn with_units() -> Vec<String> {
    let takes = |command: &&clap::Command| {
        command.get_positionals().any(|argument| {
            let names = argument.get_value_names().unwrap_or_default();
            names.iter().any(|name| name.eq_ignore_ascii_case("unit"))
        })
    };
    let command = Args::command();
    command.get_subcommands().filter(takes).map(|command| command.get_name().to_owned()).collect()
}

/// Wraps clap's function: behind such a command a word that is no option may be a unit.
fn bash(commands: &[String]) -> String {
    format!(
        r#"
_slc_with_units() {{
    _slc "$@"
    local word current="${{COMP_WORDS[COMP_CWORD]}}"
    [[ $current != -* ]] || return 0
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case $word in
        {})
            COMPREPLY=($(compgen -W "$(slc list --names 2>/dev/null)" -- "$current"))
            return 0
            ;;
        esac
    done
}}

complete -F _slc_with_units -o nosort -o bashdefault -o default slc 2>/dev/null ||
    complete -F _slc_with_units -o bashdefault -o default slc
"#,
        commands.join(" | ")
    )
}

/// clap leaves the place of a value that it knows nothing of to `_default`.
fn zsh(script: &str) -> String {
    let mut out = String::with_capacity(script.len() + 500);
    for line in script.lines() {
        let is_unit = line.starts_with("'*::units")
            || line.starts_with("':unit ")
            || line.starts_with("'*:units")
            || line.starts_with("':unit:");
        let line = if is_unit { line.replace(":_default'", ":_slc_units'") } else { line.into() };
        let _ = writeln!(out, "{line}");
        // The functions of the script must be there before it ends by calling one.
        if line.starts_with("autoload ") {
            out.push_str(
                "\n_slc_units() {\n    local -a units\n    \
                 units=(${(f)\"$(slc list --names 2>/dev/null)\"})\n    \
                 compadd -a units\n}\n",
            );
        }
    }
    out
}

fn fish(commands: &[String]) -> String {
    let commands = commands.join(" ");
    format!(
        "complete -c slc -n \"__fish_seen_subcommand_from {commands}\" -f \
         -a \"(slc list --names 2>/dev/null)\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::{Shell, script, with_units};

    #[test]
    fn the_commands_that_take_units_are_found() {
        let commands = with_units();
        for command in ["start", "stop", "restart", "reload", "status", "kill", "journal", "enter"]
        {
            assert!(commands.iter().any(|known| known == command), "{command}: {commands:?}");
        }
        assert!(!commands.iter().any(|known| known == "check"), "{commands:?}");
    }

    #[test]
    fn every_script_asks_slc_for_the_units() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            assert!(script.contains("slc list --names"), "{shell:?}");
            assert!(script.contains("last-shutdown"), "{shell:?}");
        }
        let zsh = script(Shell::Zsh);
        assert!(zsh.matches(":_slc_units'").count() >= with_units().len(), "{zsh}");
    }
}
