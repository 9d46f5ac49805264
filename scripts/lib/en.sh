# shellcheck shell=bash disable=SC2034,SC2016
# The scripts' messages in English. ja.sh has the same keys (scripts/test compares them). KEY.next is what to type after KEY; {1} is an argument.
MSG=(
  [error]='error: {1}'
  [next]='  next: {1}'
  [usage_setup]='usage: scripts/setup [--pg '"${MAJORS// /|}"'|all|PATH/pg_config] [--quiet] [--lang en|ja]'
  [usage_run]='usage: scripts/run STEP [--pg '"${MAJORS// /|}"'|PATH/pg_config] [--lang en|ja]
       scripts/run --stop [STEP]    stop the servers of this checkout (or of one step)
       scripts/run --log [STEP]     follow the server log
The steps are:
{1}'
  [usage_env]='usage: . scripts/env STEP [--pg '"${MAJORS// /|}"'|PATH/pg_config]
The steps are:
{1}'
  [no_value]='{1} needs a value'
  [unknown_option]='unknown option: {1}'
  [unknown_step]='there is no step "{1}". The steps are:
{2}'
  [unknown_step.next]='scripts/run step1'

  [waiting_for_lock]='Another set-up of this workbook is running. Waiting for it ...'
  [lock_timeout]='another set-up has been running for half an hour (it holds {1})'
  [lock_timeout.next]='find it with: ps ax | grep scripts/ ; end it, then repeat the command'
  [cache_not_ours]='the cache folder {1} cannot be written, or belongs to another user'
  [cache_not_ours.next]='WORKBOOK_CACHE=/a/folder/of/yours scripts/setup'
  [cache_elsewhere]='The cache is {1}: {2} is too long for a socket, or has other characters than A-Z a-z 0-9 / . _ + -'

  [progress]='  {1}: {2} s'
  [progress_crates]='  {1}: {2} s, crate {3}'
  [progress_done]='  {1}: done in {2} s'

  [found]='found    {1}'
  [ready]='Ready. Start a worker with: scripts/run step1'
  [no_rust]='there is no Rust compiler (cargo) in PATH'
  [no_rust.next]='install Rust from https://rustup.rs, open a new shell, and repeat the command'
  [rust_fetch]="Rust {1} is fetched from Debian's archive, for this workbook only (about 100 MB; nothing is installed)"
  [rust_download]='downloading rustc-web'
  [old_rust]='Rust {1} is too old: this workbook needs {2}'
  [old_rust.next]='rustup toolchain install {2}   (without rustup: install it from https://rustup.rs)'
  [bad_cargo]='cargo does not work here: {1}'
  [bad_cargo.next]='rustup toolchain install {2}'
  [disk]='only {1} GB are free at {2}: the build and PostgreSQL need {3} GB'
  [disk.next]='make room there, or choose another place: WORKBOOK_CACHE=/a/folder CARGO_TARGET_DIR=/another/folder scripts/setup'
  [rustflags]='RUSTFLAGS is set; the workbook ignores it (it would make cargo build PostgreSQL'"'"'s bindings again for every command).'

  [need_packages]='missing  {1}: installing the Debian packages {2}'
  [need_sudo]='         (with sudo: system packages need root; nothing else does)'
  [apt]='apt-get install'
  [no_sudo]='system packages are missing ({1}), and this user may not install them: there is no sudo, or it asks for a password without a terminal'
  [no_sudo.next]='as root: apt-get update && apt-get install --no-install-recommends {2}
        then repeat the command'
  [no_apt]='system tools are missing ({1}), and this system has no apt-get'
  [no_apt.next]='install them with your package manager, then repeat the command:
        Fedora: dnf install gcc clang-devel python3-pip procps-ng     Arch: pacman -S gcc clang python-pip procps-ng
        (only Debian 12 and 13 are tested)'
  [apt_failed]='apt-get could not install {1}. Its last lines:
{2}'
  [apt_failed.next]='if the network is down, repeat the command when it is back; else: apt-get update && apt-get install --no-install-recommends {1}'
  [packages_still_missing]='{1} is still not found after installing {2}'
  [packages_still_missing.next]='look at {3}; if libclang is elsewhere: LIBCLANG_PATH=/folder/of/libclang scripts/setup'

  [need_localhost]='missing  the name localhost: adding it to /etc/hosts'
  [no_localhost]='the name localhost could not be added to /etc/hosts: scripts/run works without it, "cargo pgrx test" does not.
  next: as root: echo 127.0.0.1 localhost >> /etc/hosts'

  [tool_other]='found    {1} {2}: left alone, this workbook needs exactly {3}'
  [tool_build]='missing  {1} {2}: building a private one in {3}'
  [tool_failed]='{1} could not be built. The last lines of {2}:
{3}'
  [tool_failed.next]='if the network is down, repeat the command when it is back (it goes on where it stopped)'

  [unknown_major]='there is no PostgreSQL "{1}" here. The majors are: {2}'
  [unknown_major.next]="scripts/setup --pg $EMBEDDED_MAJOR   (or the path of a pg_config: --pg /path/to/pg_config)"
  [pg_no_keyring]='PostgreSQL {1} comes from a Debian mirror, and the keys to check it with are not there ({2})'
  [pg_no_keyring.next]='apt-get install debian-archive-keyring, then repeat the command'
  [cluster_failed]='the program that fetches PostgreSQL could not be built. The last lines of {1}:
{2}'
  [cluster_failed.next]='if the network is down, repeat the command when it is back'
  [pg_unusable]='the PostgreSQL in {1} does not run: {2}'
  [pg_unusable.next]='scripts/clean, then repeat the command; or use a PostgreSQL of yours: scripts/setup --pg /path/to/pg_config'
  [pg_copy]='missing  a private copy of PostgreSQL {1}: copying from {2} (yours is not touched)'
  [pg_copy_unusable]='the copy of the PostgreSQL of {1} does not run: {2}'
  [pg_copy_unusable.next]='use the embedded one: unset PG_CONFIG; scripts/setup'
  [pg_config_missing]='{1} is not a pg_config that can be run'
  [pg_config_missing.next]="give the whole path: scripts/setup --pg /usr/lib/postgresql/$EMBEDDED_MAJOR/bin/pg_config   (or nothing, for the embedded PostgreSQL)"
  [pg_config_strange]='{1} does not answer like a pg_config (its --version says: {2})'
  [pg_config_strange.next]="give the whole path: scripts/setup --pg /usr/lib/postgresql/$EMBEDDED_MAJOR/bin/pg_config   (or nothing, for the embedded PostgreSQL)"
  [pg_too_old]="{1} is PostgreSQL {2}: too old. This workbook is for ${MAJORS%% *} to ${MAJORS##* }, the versions that are still maintained and that pgrx {3} knows"
  [pg_too_old.next]="scripts/setup   (the embedded PostgreSQL $EMBEDDED_MAJOR), or --pg with a newer one"
  [pg_too_new]="{1} is PostgreSQL {2}: too new. pgrx {3} has bindings for ${MAJORS%% *} to ${MAJORS##* } only"
  [pg_too_new.next]="scripts/setup   (the embedded PostgreSQL $EMBEDDED_MAJOR), or --pg with one of ${MAJORS%% *} to ${MAJORS##* }"
  [pg_no_headers]='PostgreSQL {1} of {2} has no server headers ({3} is missing): nothing can be compiled for it'
  [pg_no_headers.next]='on Debian: sudo apt-get install --no-install-recommends postgresql-server-dev-{4}    or without --pg, for the embedded PostgreSQL'
  [pg_no_server]='PostgreSQL {1} of {2} has no server programs ({3} is missing): it is the client part only'
  [pg_no_server.next]='install the server, or use the embedded PostgreSQL: unset PG_CONFIG; scripts/setup'
  [root_cannot_drop]='PostgreSQL refuses to run as root, and here root may not become another user (setpriv: {1})'
  [root_cannot_drop.next]='work as an ordinary user:
        adduser --disabled-password --gecos "" reader
        cp -r {2} /home/reader/ && chown -R reader: /home/reader/{3}
        su - reader -c "cd {3} && scripts/run step1"'
  [as_root]='         as root: the server will run as the user "{1}"'
  [initdb_failed]='initdb could not make the database cluster {1}:
{2}'
  [initdb_failed.next]='scripts/clean, then repeat the command'
  [not_set_up]='PostgreSQL or cargo-pgrx is not set up yet'
  [not_set_up.next]='scripts/setup, then repeat the command'
  [port_taken]='Port {1} is used by another program. {2} uses port {3} from now on.'
  [no_port]='no free port was found between {1} and {2}'
  [no_port.next]='see who uses them with: ss -ltn'
  [env_ready]='{1}: PGRX_HOME is {2}, PostgreSQL {3} on port {4}. Now: cd {5} && cargo pgrx run pg{6} postgres'
  [env_not_installed]='  The server preloads {1}, which is not installed yet. "cargo pgrx run" installs it; "cargo pgrx start" alone would fail.'
  [preload_overridden]='ALTER SYSTEM had set shared_preload_libraries to {1}: removed, this cluster preloads {2}.'

  [build_command]='Building the workbook command (the first time takes about 20 s)'
  [stopped]='stopped  the server of {1}'
  [nothing_runs]='Nothing of this checkout is running.'
  [stop_failed]='the server of {1} does not stop'
  [stop_failed.next]='look at its log: scripts/run --log {1}'
  [no_log]='there is no log of {1} yet'
  [no_log.next]='scripts/run {1}'
  [which_log]='several servers have a log. Name the step: {1}'
  [which_log.next]='scripts/run --log step1'

  [removed]='removed  {1} ({2})'
  [nothing_to_clean]='Nothing to remove.'
  [clean_usage]='usage: scripts/clean [--all] [--lang en|ja]
  removes what the scripts made outside this checkout: servers, databases and the private PostgreSQL of this checkout.
  --all  also the tools and downloads that all checkouts share'
  [kept_tools]='kept     the tools and downloads that all checkouts share ({1}); remove them too with: scripts/clean --all'
  [no_book]='there is no book/ in this checkout'
  [serve_usage]='usage: scripts/serve [--open] [--port N] [--lang en|ja]
       scripts/serve --lan [--port N]   the book and the offline packs, for all computers of the room'

  [book_tool]='missing  {1}: fetching what the checks of the book and its PDFs need'
  [book_tool_failed]='{1} could not be installed. The last lines of {2}:
{3}'
  [book_tool_failed.next]='if the network is down, repeat the command when it is back'

  [usage_offline]='usage: scripts/offline-pack [--to FOLDER] [--debian MIRROR] [--ubuntu MIRROR] [--no-rootfs] [--lang en|ja]
  makes, in target/offline, what a room without a network needs: an archive for Debian 12 laptops, and a root file system for WSL and containers
  --to      another folder than target/offline
  --debian  the mirror to take Debian 12 from; without it, the one that this machine uses
  --ubuntu  also the packages of Ubuntu 24.04, from this mirror'
  [offline_root]='a Debian is made in a folder of its own: only root can do that'
  [offline_root.next]='sudo env "PATH=$PATH" "HOME=$HOME" scripts/offline-pack'
  [offline_no_mirror]='apt on this machine knows no mirror of Debian 12'
  [offline_no_mirror.next]='scripts/offline-pack --debian MIRROR   (the address of a mirror of Debian)'
  [offline_room]='less than {2} GB are free at {1}'
  [offline_room.next]='TMPDIR=/a/folder/with/room scripts/offline-pack'
  [offline_packages]='packages of {1}'
  [offline_debian]='a Debian 12 of its own'
  [offline_copy]='toolchain, crates, PostgreSQL, tools'
  [offline_build]='setting up and building there'
  [offline_pack]='packing the archive'
  [offline_rootfs]='packing the root file system'
  [offline_failed]='the offline pack could not be made. The last lines of {1}:
{2}'
  [offline_failed.next]='if the network is down, repeat the command when it is back'
  [offline_uncommitted]='The pack has the last commit: what is not committed is not in it.'
  [offline_size]='{1} MB  {2}'
  [offline_unpacked]='A laptop needs {1} MB of disk.'
  [offline_done]='Done in {1} min. To give it out in the room: scripts/serve --lan'
  [usage_install]='usage: ./install [--to FOLDER] [--lang en|ja]
  --to  another place than /opt/bgworkbook; there the dependencies are compiled at the first build'
  [pack_architecture]='this pack is for {1}, and this machine is {2}'
  [pack_architecture.next]='ask for the pack for {2}, or for the container image'
  [pack_installed]='the workbook is in {1} already'
  [pack_installed.next]='. {1}/bgworkbook.env; cd {1}/workbook    (to begin anew, with all of your work gone: rm -rf {1})'
  [pack_checking]='Comparing the checksums ...'
  [pack_damaged]='the pack in {1} is damaged: files differ from SHA256SUMS'
  [pack_damaged.next]='fetch it again, compare its checksum, and unpack it anew'
  [pack_room]='only {1} GB are free at {2}: {3} GB are needed'
  [pack_room.next]='make room there, or choose another place: ./install --to /a/folder'
  [pack_no_sudo]='packages have to be installed, and this user may not do that: there is no sudo'
  [pack_no_sudo.next]='as root: ./install'
  [pack_system]='this system is "{1}", the pack has packages for: {2}'
  [pack_system.next]='install these with your package manager, then repeat the command: {3}'
  [pack_apt]='the packages {1} could not be installed. The last lines of {2}:
{3}'
  [pack_apt.next]='where this system is newer than the pack, use the network once: apt-get install {1}; else use the container image'
  [pack_unpacking]='Unpacking to {1} ...'
  [pack_done]='Done in {1} s. In each new terminal, type this line first:
  . {2} && cd {3}
Then: scripts/run step1'
  [usage_ready]='usage: scripts/ready [--lang en|ja]
  makes this machine ready for a workshop, and says whether it is: the last line, and exit code 0'
  [ready_part]='== {1}/{2} {3}'
  [ready_setup]='what is missing is set up'
  [ready_doctor]='the doctor looks at the machine (the first time a command is compiled: about a minute)'
  [ready_worker]='a worker is built and judged on a real server (the first time: about two minutes)'
  [ready_book]='the book is built (the first time mdBook is compiled: about two minutes)'
  [ready_book_failed]='the book could not be built. The last lines of {1}:
{2}'
  [ready_book_failed.next]='scripts/serve'
  [is_ready]='Ready for the workshop.'
  [not_ready]='This machine is not ready for the workshop. After what is said above: scripts/ready'

  # ---- handouts
  [handout_usage]='usage: scripts/handout [ja|en|all] [--paper a4|letter] [--solutions]
Makes PDFs of the book in target/handout: the workbook, the cheat sheet and the rescue cards.
Without a language: the one that messages are in. --solutions puts the solutions into the workbook.'
)
