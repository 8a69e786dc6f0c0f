#!/usr/bin/env bash
# Makes target/release-archives/addendum-VERSION-TARGET.tar.gz for this machine's target, and its SHA-256. The binary is
# stripped; with it go what it needs to be tried, the dashboard, and the book's pages. Arguments go to cargo: scripts/release.sh --features cuda
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
target=$(rustc -vV | sed -n 's/^host: //p')
features=$(printf '%s' "$*" | sed -n 's/.*--features[ =]\([^ ]*\).*/-\1/p' | tr ',' '-')
name=addendum-$version-$target$features
built=${CARGO_TARGET_DIR:-target}
out=$built/release-archives

cargo build --release --locked --bin addendum "$@"
rm -rf "${out:?}/$name"
mkdir -p "$out/$name/examples"
install -s "$built/release/addendum" "$out/$name/addendum"
cp -r README.md CHANGELOG.md SECURITY.md LICENSE-APACHE LICENSE-MIT configs docs monitoring "$out/$name/"
cp -r examples/checkpoints examples/*.rs "$out/$name/examples/"
"$out/$name/addendum" --version

# The same bytes for the same binary and commit: names in order, nobody's ids and rights, the commit's time.
time=$(git log -1 --format=%ct)
tar --sort=name --mode=u=rwX,go=rX --owner=0 --group=0 --numeric-owner --mtime="@$time" -C "$out" -cf - "$name" | gzip -n -9 >"$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" | tee "$name.tar.gz.sha256")
