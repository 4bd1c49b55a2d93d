# Gives the secrets of this boot to login shells.
# Install to /etc/profile.d/dropsafe.sh. Login shells read it through /etc/profile (sh, dash, bash, ksh; zsh if /etc/zsh/zprofile has
# `emulate sh -c '. /etc/profile.d/dropsafe.sh'`): on a console, with `ssh HOST`, and with `su -`.
# `ssh HOST COMMAND` starts no login shell: see ssh-session. For services of a user's own systemd: see user-environment-generator.
#
# PAM is no alternative: pam_env(8), the only module that sets variables from a file, ends a value at a `#` or at the end of the line,
# and interprets backslashes. It would silently change some values.
#
# It does nothing for users who may not read the file: by default, everybody except root.
# shellcheck shell=sh disable=SC1091
if [ -r /run/dropsafe/profile.sh ]; then
    . /run/dropsafe/profile.sh
fi
