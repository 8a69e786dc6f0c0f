#!/usr/bin/env bash
# Makes each mistake of mutations.txt in a copy of the kernels, runs their tests, and prints a table of what noticed it.
# Ends with 1 if a mistake was noticed by nobody, or does not compile.  usage: mutate.sh [WORDS OF SOME MISTAKES]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kernels=$here/../../cuda
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What it builds for the copies is kept beside the program; so that goes into the temporary folder too.
mkdir -p "$work/build/deps"
cp "$(cd "$here" && cargo test -p addendum-kernels --lib --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p' |
    sed "s|^target|$here/../../../../target|")" "$work/build/deps/tests"

mutate() { # FILE FUNCTION CODE
    perl -0777 -i -e '
        my ($file, $function, $code) = @ARGV;
        open my $in, "<", $file or die; my $text = <$in>;
        $text =~ /^[^\n\/]*\b\Q$function\E\([^;{]*\{(?:[^\n]*\}\n|.*?^\})/ms or die "no function $function in $file\n";
        my ($start, $end) = ($-[0], $+[0]);
        local $_ = substr $text, $start, $end - $start;
        my $before = $_;
        eval $code; die $@ if $@;
        $_ ne $before or die "nothing in $function is as in $code\n";
        substr $text, $start, $end - $start, $_;
        open my $out, ">", $file or die; print $out $text;' "$@"
}

missed=0
printf '| File | Function | Mistake | Noticed by |\n|:--|:--|:--|:--|\n'
while IFS='|' read -r file function rest; do
    file=${file// /} function=${function// /}
    what=${rest##* | } code=${rest%" | $what"}
    rm -rf "$work/kernels" && cp -r "$kernels" "$work/kernels"
    mutate "$work/kernels/$file" "$function" "$code"
    module=cuda::${file%.cu}
    [ "$file" = prelude.cu ] && module=cuda::
    ADDENDUM_KERNELS=$work/kernels "$work/build/deps/tests" "$module" --skip nvrtc >"$work/log" 2>&1 || true
    how=
    grep -q 'race at' "$work/log" && how+=', a race'
    grep -q 'AddressSanitizer\|runtime error\|asynchronous copy' "$work/log" && how+=', an address'
    grep -q 'never come' "$work/log" && how+=', threads that wait in vain'
    grep -q ': value [0-9]* is\|left: \|panicked.*token\| and not \|row [0-9]*: token' "$work/log" && how+=', values'
    failed=$(sed -n 's/^test tests::cuda::\(.*\) \.\.\. FAILED/`\1`/p' "$work/log" | sort |
        awk 'NR <= 2 { line = line (NR > 1 ? ", " : "") $0 } END { print line (NR > 2 ? " and " NR - 2 " more" : "") }')
    grep -q ': error: ' "$work/log" && failed=
    if [ -z "$failed" ]; then
        failed='**nobody**' how=
        missed=1
    fi
    printf '| %s | `%s` | %s | %s%s |\n' "$file" "$function" "$what" "$failed" "${how:+:${how#,}}"
    rm -rf "$work"/build/cuda-emulator/{attention,layer,head,optim,sums,products,wrong}-*
done < <(grep -v '^#' "$here/mutations.txt" | grep -e "${1:-}")
exit $missed
