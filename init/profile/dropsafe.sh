# Login shells see the secrets of this boot.
# Goes to /etc/profile.d/dropsafe.sh; read by login shells through /etc/profile (sh, dash, bash, ksh; zsh where /etc/zsh/zprofile says
# `emulate sh -c '. /etc/profile.d/dropsafe.sh'`): on a console, by `ssh HOST`, by `su -`.
# `ssh HOST COMMAND` starts no login shell: see ssh-session. Services of a user's own systemd: see user-environment-generator.
#
# Not by PAM: pam_env(8), the only module that sets variables from a file, ends a value at a `#` or at the end of the line, and
# takes a backslash for itself. It would change some of them without a word.
#
# It is silent for those who may not read the file: by default, everybody but root.
# shellcheck shell=sh disable=SC1091
if [ -r /run/dropsafe/profile.sh ]; then
    . /run/dropsafe/profile.sh
fi
