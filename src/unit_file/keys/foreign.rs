//! Keys of other programs' files, and what is to be written instead.

/// What to say about a key of another program's files.
pub(super) enum Meant {
    Key(&'static str),
    Say(&'static str),
}

/// Keys that people bring along from Compose, systemd and others.
#[rustfmt::skip]
pub(super) const FOREIGN: &[(&[&str], Meant)] = &[
    (&["ExecStart", "exec", "cmd", "run", "program", "entrypoint", "args", "start"], Meant::Key("command")),
    (&["ExecStartPre", "pre_start", "pre-start"], Meant::Key("start_pre")),
    (&["ExecStartPost", "post_start", "post-start"], Meant::Key("start_post")),
    (&["ExecStopPost", "post_stop", "post-stop", "finish"], Meant::Key("stop_post")),
    (&["ExecCondition"], Meant::Say("write condition: for what can be looked at, or start_pre")),
    (&["ConditionPathExists", "ConditionPathIsDirectory", "ConditionPathIsSymbolicLink",
        "ConditionPathIsMountPoint", "ConditionPathIsReadWrite", "ConditionFileNotEmpty",
        "ConditionFileIsExecutable", "ConditionDirectoryNotEmpty", "ConditionKernelCommandLine",
        "ConditionFirstBoot", "ConditionUser", "ConditionArchitecture", "ConditionVirtualization",
        "AssertPathExists", "conditions", "assert"], Meant::Key("condition")),
    (&["Conflicts", "conflict", "conflicts_with"], Meant::Key("conflicts")),
    (&["ExecStop", "stop"], Meant::Key("stop_command")),
    (&["ExecReload", "reload"], Meant::Key("reload_command")),
    (&["KillSignal", "signal"], Meant::Key("stop_signal")),
    (&["TimeoutStopSec", "stop_timeout"], Meant::Key("stop_grace_period")),
    (&["TimeoutStartSec", "TimeoutSec", "timeout"], Meant::Key("start_timeout")),
    (&["RestartSec", "restart_sec"], Meant::Key("restart_delay")),
    (&["StartLimitBurst"], Meant::Key("restart_max_attempts")),
    (&["StartLimitIntervalSec"], Meant::Key("restart_window")),
    (&["WatchdogSec"], Meant::Key("watchdog")),
    (&["health_check", "health", "HEALTHCHECK"], Meant::Key("healthcheck")),
    (&["readiness", "notification-fd", "ready_notification"], Meant::Key("ready")),
    (&["PIDFile", "pidfile", "pid"], Meant::Key("pid_file")),
    (&["Requires", "Wants", "requires", "wants", "needs", "dependencies", "links"], Meant::Key("depends_on")),
    (&["Before", "before"], Meant::Say("write after: in the other unit instead")),
    (&["WantedBy", "autostart", "disabled"], Meant::Key("enabled")),
    (&["env", "Env", "env_vars"], Meant::Key("environment")),
    (&["EnvironmentFile", "env_files"], Meant::Key("env_file")),
    (&["WorkingDirectory", "working_directory", "cwd", "dir", "workdir"], Meant::Key("working_dir")),
    (&["LimitNOFILE", "LimitCORE", "LimitNPROC", "limits", "rlimits"], Meant::Key("ulimits")),
    (&["OOMScoreAdjust"], Meant::Key("oom_score_adj")),
    (&["MemoryMax", "MemoryLimit", "memory"], Meant::Key("mem_limit")),
    (&["TasksMax"], Meant::Key("pids_limit")),
    (&["CPUQuota", "cpu"], Meant::Key("cpus")),
    (&["TTYPath", "StandardInput"], Meant::Key("tty")),
    (&["stdin", "stdin_open"],
        Meant::Say("standard input is /dev/null; for a terminal write tty: /dev/tty1")),
    (&["StandardOutput", "StandardError", "stdout", "stderr", "logging", "log"],
        Meant::Say("output goes to the unit's log by itself")),
    (&["image", "build", "ports", "volumes", "networks", "network_mode"],
        Meant::Say("Treeward runs programs, not containers")),
    (&["container_name", "name"], Meant::Say("the file's name is the unit's name")),
    (&["services", "version"], Meant::Say("a file holds one unit, and its keys stand at the left edge; slc import turns \
             a Compose file into units")),
    (&["Unit", "Service", "Install"],
        Meant::Say("there are no sections; the keys stand at the left edge; slc import turns systemd's \
             files into units")),
];
