//! Chat templates of checkpoint folders.

use addendum::policy::tokenizer::ChatTemplate;

use crate::files;

/// As published ones are written: turns, images, a system turn of its own, a macro, a loop with a namespace.
const SEEDS: [&str; 3] = [
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}\
     <|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}<|im_end|>\n{% else %}\
     {% for c in m['content'] %}{% if c['type'] == 'image' or 'image' in c %}<|vision_start|><|image_pad|><|vision_end|>\
     {% elif 'text' in c %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}\
     {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "{%- macro say(c) -%}{% for p in c %}{% if p.type == 'image' %}<|image_pad|>{% else %}{{ p.text | trim }}{% endif %}{% endfor %}\
     {%- endmacro -%}{%- set ns = namespace(n=0) -%}{% for m in messages %}{% set ns.n = ns.n + 1 %}[{{ ns.n }} {{ m.role | upper }}]\
     {% if m.content is string %}{{ m.content.strip().replace('a', 'b') }}{% else %}{{ say(m.content) }}{% endif %}{% endfor %}",
    "{%- if tools is not none %}{{ tools | tojson(indent=2) }}{% endif %}{% for m in messages %}{% generation %}\
     {% for p in m.content if m.content is not string %}{{ '<|image_pad|>' if p.type == 'image' else p['text'] ~ '\n' * 2 }}{% endfor %}\
     {% endgeneration %}{% endfor %}",
];

pub fn seeds() -> Vec<Vec<u8>> {
    SEEDS.map(|text| text.as_bytes().to_vec()).into()
}

pub fn read(input: &[u8]) -> bool {
    files::with_content(&Vec::new(), "chat_template.jinja", input, |folder| ChatTemplate::of_folder(folder).is_ok())
}
