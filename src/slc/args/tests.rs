use clap::{CommandFactory, Parser};

use super::{Args, Command, seconds};

#[test]
fn the_command_line_is_well_formed() {
    Args::command().debug_assert();
}

#[test]
fn every_command_has_an_example() {
    for command in Args::command().get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains(&format!("slc {}", command.get_name())), "{help}");
    }
}

#[test]
fn the_help_of_a_command_begins_with_its_own_options() {
    let mut args = Args::command();
    args.build();
    for command in args.get_subcommands_mut() {
        let help = command.render_help().to_string();
        let place = |option: &str| help.find(&format!("      {option} "));
        let own = ["--json", "--units <DIR>", "--template", "--log-dir <PATH>"];
        let last = own.iter().filter_map(|option| place(option)).max();
        assert!(place("--socket <PATH>") > last, "{help}");
    }
}

#[test]
fn signals_are_those_of_unit_files() {
    let number = |text: &str| match Args::try_parse_from([
        "slc", "kill", "nginx", "--signal", text,
    ])?
    .command
    {
        Command::Kill { signal, .. } => Ok(signal),
        other => panic!("{other:?}"),
    };
    let signals =
        [("HUP", 1), ("sighup", 1), ("1", 1), ("RTMIN+3", 37), ("SIGRTMIN+3", 37), ("RTMAX-1", 63)];
    for (text, expected) in signals {
        assert_eq!(number(text).map_err(|error: clap::Error| error.kind()), Ok(expected));
    }
    for text in ["0", "65", "FOO", ""] {
        assert!(number(text).is_err(), "{text}");
    }
    let error = number("TREM").unwrap_err().to_string();
    assert!(error.contains("did you mean TERM?"), "{error}");
}

#[test]
fn only_a_reload_does_without_a_unit() {
    for verb in ["start", "stop", "restart"] {
        for option in ["--no-wait", "--json"] {
            assert!(Args::try_parse_from(["slc", verb, option]).is_err(), "{verb} {option}");
        }
        assert!(Args::try_parse_from(["slc", verb, "--no-wait", "a", "b"]).is_ok(), "{verb}");
    }
    assert!(Args::try_parse_from(["slc", "reload", "--json"]).is_ok());
    assert!(Args::try_parse_from(["slc", "reload", "--restart", "--only", "a", "b"]).is_ok());
    for order in [&["reload", "a", "--restart"][..], &["reload", "a", "--only", "b"]] {
        assert!(Args::try_parse_from([&["slc"], order].concat()).is_err(), "{order:?}");
    }
}

#[test]
fn times_are_above_zero() {
    assert_eq!(seconds("0.5").unwrap().as_millis(), 500);
    for text in ["0", "-1", "x", "inf", "NaN", "1e99", ""] {
        assert!(seconds(text).is_err(), "{text}");
    }
}

#[test]
fn a_wrong_number_of_lines_is_answered_with_what_is_expected() {
    for text in ["x", "-3", "1.5", ""] {
        let said =
            Args::try_parse_from(["slc", "journal", "-n", text, "a"]).unwrap_err().to_string();
        let given = format!("invalid value '{text}' for '--lines");
        assert!(said.contains("a whole number is expected, such as 20"), "{said}");
        assert!(said.contains(&given) || text.is_empty(), "{said}");
    }
}

#[test]
fn options_for_all_commands_may_stand_behind_the_command() {
    let args = Args::parse_from(["slc", "stop", "a", "--socket", "/s", "--timeout", "2"]);
    assert_eq!(args.socket().to_str(), Some("/s"));
    assert!(matches!(args.command, Command::Stop(order) if order.units == ["a"]));
}
