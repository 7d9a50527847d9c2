"""The interface for plugins: what they implement and call, and how they are found.

Everything that is public here can be imported from ``imp_parallel_core``; docs/plugins.md is the
guide. The user's thread, the fleet and the threads of launches call into this room.

Read :mod:`.hookspecs` first, then :mod:`.slaves` (descriptions), :mod:`.bootstrap` and
:mod:`.launch` (what a launcher gets, and what it returns), :mod:`.transport`, :mod:`.command_host`,
:mod:`.gateway`, :mod:`.events`, :mod:`.subcommand` (of the command ``imp-parallel``) and
:mod:`.explanations` (of errors).
:mod:`.entry_points` and :mod:`.found` find plugins, :mod:`.registry` calls the hooks of those of a
Manager, :mod:`.contract` checks what these answer, :mod:`.transports` keeps its transports, and
:mod:`.slave_types` finds a slave class by its name. The rest helps launchers: :mod:`.processes`,
:mod:`.output_files`, :mod:`.start_failure`, :mod:`.slave_archive`, :mod:`.gpus`, and
:mod:`.guardian`, which ends a command that this process would leave behind.

For slaves on a system that runs functions, such as Dask, there are :mod:`.sent_array`,
:mod:`.sent_launch` and its :mod:`.sent_states`; :mod:`.kept_slave` is sent there, as a :mod:`.sent`
function, with :mod:`.folder_guardian`, which removes what a slave leaves there, and
:mod:`.exit_code`, which :mod:`.processes` has a use for, too.
"""
