# Login shells see the secrets of this boot.
# Goes to /etc/profile.d/dropsafe.sh; read by login shells (sh, dash, bash, ksh through /etc/profile; zsh by
# `emulate sh -c '. /etc/profile.d/dropsafe.sh'` in /etc/zsh/zprofile): on a console, by `ssh HOST`, by `su -`.
# `ssh HOST COMMAND` starts no login shell: see ssh-session.
#
# It is silent for those who may not read the file: by default, everybody but root.
# shellcheck shell=sh disable=SC1091
if [ -r /run/dropsafe/profile.sh ]; then
    . /run/dropsafe/profile.sh
fi
