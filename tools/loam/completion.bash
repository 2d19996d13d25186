# SPDX-License-Identifier: GPL-2.0-or-later
# Completion of the command loam, for bash. Installed as /usr/share/bash-completion/completions/loam.

_loam_options()
{
    case $1 in
    "vm create" | "vm set")
        echo "--memory --processors --kernel --initrd --cmdline --disk --dvd --no-dvds --floppy --no-floppies --boot --graphics"
        echo "--no-graphics --com2 --uuid --nic"
        ;;&
    "vm set") echo "--no-kernel --no-initrd --no-disks --no-nics" ;;
    "vm start") echo "--console --boot-menu" ;;
    "vm stop") echo "--timeout --turn-off" ;;
    "vm screen") echo "--text --listen" ;;
    "vm send-keys") echo "--text" ;;
    "vm insert" | "vm eject") echo "--drive" ;;&
    "vm eject") echo "--force" ;;
    "vm wait") echo "--state --timeout" ;;
    "vm list" | "switch list") echo "--names" ;;
    "disk create") echo "--size --format --block-size --logical-sector --parent --parent-raw --sparse --replace" ;;
    "disk convert") echo "--format --block-size --source-raw --replace" ;;
    "disk info") echo "--raw" ;;
    "disk compare") echo "--strict --first-raw --second-raw" ;;
    "disk repair") echo "--drop-damaged --no-backup --undo --dry-run" ;;
    "disk resize") echo "--raw --sparse --discard-data --dry-run" ;;
    "disk compact") echo "--raw --dry-run" ;;
    "disk merge") echo "--into --keep --force --dry-run" ;;
    "disk reconnect") echo "--parent --force --dry-run" ;;
    "switch create") echo "--type --subnet --boot-file --allow-host" ;;
    "switch forward") echo "--remove" ;;
    esac
    echo "--json --socket --help"
}

# What the word after an option can be; false: that is not known.
_loam_option_value()
{
    case $1 in
    --kernel | -k | --initrd | -i | --disk | -d | --dvd | --floppy | --parent | --into | --undo | --socket) mapfile -t COMPREPLY < <(compgen -f -- "$2") ;;
    --nic | -n) mapfile -t COMPREPLY < <(compgen -W "$(loam switch list --names 2>/dev/null)" -- "$2") ;;
    --format | -f) mapfile -t COMPREPLY < <(compgen -W "dynamic fixed raw" -- "$2") ;;
    --state) mapfile -t COMPREPLY < <(compgen -W "Off Starting Running Paused Stopping" -- "$2") ;;
    --boot) mapfile -t COMPREPLY < <(compgen -W "dvd disk network floppy dvd,disk,network,floppy" -- "$2") ;;
    --type) mapfile -t COMPREPLY < <(compgen -W "NAT" -- "$2") ;;
    --memory | -m | --processors | -p | --cmdline | -a | --timeout | --size | -s | --block-size | --logical-sector | --subnet | --boot-file | --com2 | --uuid | --drive | \
        --listen)
        COMPREPLY=()
        ;;
    *) return 1 ;;
    esac
}

_loam_argument()
{
    case $1 in
    "vm screenshot")
        if [[ $COMP_CWORD -gt 3 ]]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$2")
            return
        fi
        ;;&
    "vm send-keys")
        if [[ $COMP_CWORD -gt 3 ]]; then
            mapfile -t COMPREPLY < <(compgen -W "ctrl-alt-delete enter esc tab space f1 f2 f8 f10 f12 up down" -- "$2")
            return
        fi
        ;;&
    "vm insert" | "vm eject")
        if [[ $COMP_CWORD -eq 4 ]]; then
            mapfile -t COMPREPLY < <(compgen -W "dvd floppy" -- "$2")
            return
        elif [[ $1 == "vm insert" && $COMP_CWORD -gt 4 ]]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$2")
            return
        fi
        ;;&
    "vm create" | "vm list" | "switch create" | "switch list" | host*) COMPREPLY=() ;;
    vm*) mapfile -t COMPREPLY < <(compgen -W "$(loam vm list --names 2>/dev/null)" -- "$2") ;;
    switch*) mapfile -t COMPREPLY < <(compgen -W "$(loam switch list --names 2>/dev/null)" -- "$2") ;;
    disk*) mapfile -t COMPREPLY < <(compgen -f -- "$2") ;;
    esac
}

_loam()
{
    local word=${COMP_WORDS[COMP_CWORD]} verb="${COMP_WORDS[1]:-} ${COMP_WORDS[2]:-}"
    local previous=${COMP_WORDS[COMP_CWORD - 1]}
    # --option=value is three words.
    if [[ $word == = ]]; then
        word=""
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    local -A verbs=(
        [host]="info log stats"
        [vm]="create list show start stop reset pause resume wait set console screen screenshot send-keys insert eject remove"
        [disk]="create info chain check repair convert compare resize compact merge reconnect"
        [switch]="create list show forward remove"
    )
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "host vm disk switch" -- "$word")
    elif [[ $COMP_CWORD -eq 2 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "${verbs[${COMP_WORDS[1]}]:-}" -- "$word")
    elif _loam_option_value "$previous" "$word"; then
        return
    elif [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_loam_options "$verb")" -- "$word")
    else
        _loam_argument "$verb" "$word"
    fi
}

complete -o filenames -o bashdefault -F _loam loam
