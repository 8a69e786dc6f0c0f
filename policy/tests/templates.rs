//! No text that a template puts together takes more memory than its limit. Alone in its file, because it counts all allocations
//! of the process.

use std::time::{Duration, Instant};

use addendum_policy::tokenizer::ChatTemplate;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Bytes; SECURITY.md names them.
const MOST: usize = 256 << 20;

/// A second or two, and many times that on a machine with other work.
const TIME: Duration = Duration::from_secs(120);

/// Doubles `ns.x` forty times by `step`, then does `then`.
fn doubled(start: &str, step: &str, then: &str) -> String {
    format!("{{% set ns = namespace(x={start}, y={start}) %}}{{% for i in range(40) %}}{step}{{% endfor %}}{then}")
}

#[test]
fn no_text_of_a_template_takes_more_memory_than_its_limit() {
    let strings = ["ns.x ~ ns.x", "ns.x + ns.x", "ns.x * 2", "[ns.x, ns.x] | join", "'%s%s' | format(ns.x, ns.x)"];
    let strings = strings.map(|twice| doubled("'ab'", &format!("{{% set ns.x = {twice} %}}"), "{{ ns.x }}"));
    let blocks = doubled("'ab'", "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}", "{{ ns.x }}");
    // Small values, long as text: the same list twice in each.
    let nested = [
        "{{ ns.x | tojson }}",
        "{{ ns.x | tojson(sort_keys=true) }}",
        "{{ ns.x | tojson(indent=64) }}",
        "{{ 1 | tojson(separators=[ns.x, ns.x]) }}",
        "{{ '{}'.format(ns.x) }}",
    ];
    let both = "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}";
    let nested = nested.map(|then| doubled("[]", both, then));
    let plain = [
        "{{ 'x' * 10 ** 9 }}",
        "{{ [1] * 10 ** 9 }}",
        "{{ range(10 ** 9) | list }}",
        "{{ range(10 ** 9) }}",
        "{{ range(99999) | list | join('x' * 99999) }}",
        "{{ ('x' * 99999).join(range(99999) | map('string')) }}",
        "{{ ('x' * 9999) | replace('x', 'y' * 99999) }}",
        "{{ ('x' * 9999).replace('x', 'y' * 99999) }}",
        "{{ ('x' * 9999).replace('', 'y' * 99999) }}",
        "{{ ('x,' * 9999999).split(',') }}",
        "{{ ('x' * 9999999) | list | length }}",
        "{{ '%9999999999d' | format(1) }}",
        "{{ '%.999999999f' | format(1.5) }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ ('x\n' * 99999) | indent(99999) }}",
        "{{ 2 ** 10 ** 9 }}",
        "{{ ('é' * 9999999) | tojson(ensure_ascii=true) }}",
        "{{ raise_exception('x' * 50000000) }}",
        "{{ ('x' * 50000000)() }}",
        "{{ 1 | tojson(separators=['x' * 9999999, 'x' * 9999999]) }}",
        "{{ range(99999) | list | tojson(separators=['x' * 99999, ':']) }}",
        "{{ range(99999) | list | tojson(indent='x' * 99999) }}",
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
        "{% set ns = namespace(x=[]) %}{% for a in range(99999) %}{% set ns.x = ns.x + [a] %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
    ];
    let sources = plain.into_iter().map(str::to_owned).chain(strings).chain([blocks]).chain(nested);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chat_template.jinja");
    for source in sources {
        std::fs::write(&path, &source).unwrap();
        ALLOCATED.reset_peak_usage();
        let (before, began) = (ALLOCATED.current_usage(), Instant::now());
        let refused = ChatTemplate::of_folder(dir.path()).unwrap_err().to_string();
        let taken = ALLOCATED.peak_usage() - before;
        assert!(taken <= MOST && refused.len() < 10_000, "{source}: {taken} bytes, {}", refused.len());
        assert!(began.elapsed() < TIME, "{source}: {:?}", began.elapsed());
    }
}
