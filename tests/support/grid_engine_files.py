"""What a small Grid Engine cell is configured with."""

from __future__ import annotations

from collections.abc import Mapping

BOOTSTRAP = """\
admin_user sgeadmin
default_domain none
ignore_fqdn true
spooling_method berkeleydb
spooling_lib libspoolb
spooling_params {base}/spool/db
binary_path /usr/sbin
qmaster_spool_dir {base}/spool/qmaster
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
"""
GLOBAL = {
    "execd_spool_dir": "{base}/spool/execd",
    "mailer": "/bin/true",
    "min_uid": "0",
    "min_gid": "0",
    "gid_range": "{gids}",
    "load_report_time": "00:00:01",
    "enforce_user": "auto",
    "reporting_params": "accounting=true reporting=false flush_time=00:00:01 "
    "accounting_flush_time=00:00:00 joblog=false sharelog=00:00:00",
}
SCHEDULER = {
    "schedule_interval": "0:0:1",
    "flush_submit_sec": "1",
    "flush_finish_sec": "1",
    "maxujobs": "0",
    "schedd_job_info": "true",
    "load_formula": "np_load_avg",
    "job_load_adjustments": "NONE",
    "load_adjustment_decay_time": "0:0:0",
}
HOST = """\
hostname {host}
load_scaling NONE
complex_values slots={slots}
user_lists NONE
xuser_lists NONE
projects NONE
xprojects NONE
usage_scaling NONE
report_variables NONE
"""
ENVIRONMENT = """\
pe_name mpi
slots 999
user_lists NONE
xuser_lists NONE
start_proc_args NONE
stop_proc_args NONE
allocation_rule $round_robin
control_slaves TRUE
job_is_first_task FALSE
urgency_slots min
accounting_summary FALSE
qsort_args NONE
"""
# Grid Engine has no say on its slots: qrsh can't start anything there
LOOSE_ENVIRONMENT = ENVIRONMENT.replace("pe_name mpi", "pe_name loose").replace(
    "control_slaves TRUE", "control_slaves FALSE"
)
QUEUE = {
    "hostlist": "{hosts}",
    "load_thresholds": "NONE",
    "pe_list": "mpi loose",
    "slots": "{slots}",
    "shell_start_mode": "posix_compliant",
    "notify": "00:00:05",
    "starter_method": "{base}/starter",
    "tmpdir": "{base}/tmp",  # another cell has jobs of the same number
    "rerun": "FALSE",
}


# The profile of who runs the tests is left alone: what it runs may not bear to be killed in the
# middle.
STARTER = """\
#!/bin/bash
export HOME={base}/home
[ ! -d {base}/started ] || echo "$EPOCHREALTIME" >"{base}/started/$JOB_ID.$SGE_TASK_ID"
[ "$SGE_STARTER_SHELL_PATH" ] || exec /bin/bash -c "$*"  # from qrsh
exec -l "$SGE_STARTER_SHELL_PATH" "$@"
"""


def changed(configuration: str, values: Mapping[str, str]) -> str:
    """Return a configuration as qconf shows it, with other values."""
    lines = [line for line in configuration.splitlines() if line and not line.startswith("#")]
    kept = [line for line in lines if line.split()[0] not in values]
    return "\n".join([*kept, *(f"{name} {value}" for name, value in values.items())]) + "\n"
