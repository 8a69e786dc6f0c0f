# What the comparisons share, to be sourced: their options, the binary, and a folder that goes away at the end.
cd "$(dirname "$0")/../.."
rounds=3
binary=
python=${PYTHON:-python3}
options=()
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=${2:?--rounds needs a number}; shift 2 ;;
    --binary) binary=${2:?--binary needs a file}; shift 2 ;;
    *) options+=("$1"); shift ;;
  esac
done
if [ -z "$binary" ]; then
  cargo build --release --bin addendum
  binary=target/release/addendum
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
