#!/bin/sh
# Installs a Debian package if this user may; otherwise says the exact command.
set -eu
package=$1
if [ "$(id -u)" = 0 ]; then
    sudo=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo="sudo -n"
else
    echo "$package is needed. Run:  sudo apt-get update && sudo apt-get install -y $package" >&2
    exit 1
fi
echo "installing $package ..." >&2
$sudo apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
