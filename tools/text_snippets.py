"""Small templates about what expressions mean: operators, members, calls, macros. Read by make_text_vectors.py."""

CONTEXT = {
    "s": "Hello World", "e": "", "n": 7, "neg": -3, "f": 2.5, "t": True, "x": None, "l": [3, 1, 2], "w": ["b", "a", "C"],
    "d": {"b": 1, "a": "two", "c": [1, 2], "items": "I", "pop": "P"}, "u": "\u00fc\u4f60\U0001f600",
    "msgs": [{"role": "system", "content": "S"}, {"role": "user", "content": "U", "k": 1}, {"role": "assistant", "content": None}],
}


def printed(*expressions):
    return ["{{ " + expression + " }}" for expression in expressions]


def each(pattern, *values):
    return ["{{ " + pattern.replace("@", value) + " }}" for value in values]


OPERANDS = ["n", "f", "t", "x", "s", "l", "(1, 2)", "d", "missing", "'3'", "0", "0.0", "-7"]
ARITHMETIC = [f"{{{{ {a} {op} {b} }}}}" for op in ("+", "-", "*", "/", "//", "%") for a in OPERANDS for b in ("n", "f", "s", "l", "(1, 2)", "0", "x", "t")]
COMPARED = [f"{{{{ {a} {op} {b} }}}}" for op in ("<", "==", ">=", "in", "not in") for a in OPERANDS for b in ("n", "f", "s", "l", "(1, 2)", "d", "missing", "x", "1")]

NUMBERS = printed(
    "2 ** 10", "2 ** -1", "2 ** 0.5", "0 ** 0", "0 ** -1", "0.0 ** -1", "2.0 ** 3", "-2 ** 2", "2 ** 3 ** 2", "(-2) ** 3", "true ** 2", "(-1) ** 5", "10 ** 20",
    "7 // -2", "-7 // 2", "-7 % 3", "7 % -3", "-7.5 % 2", "7.5 % -2", "7.5 // 2", "-7.5 // 2", "7 // 2.0", "6 / 4", "6 / 3", "0 / 5", "-0.0", "0.0 * -1", "5 % 5.0", "-5 % 5.0",
    "1 + 2 * 3 - 4 / 2", "1 - 2 - 3", "100 / 10 / 2", "2 * 3 % 4", "1 ~ 2 + 3 ~ 4", "1 + 2 ~ 3", "-n + 3", "- -n", "+n", "-t", "-s", "+x", "not n", "not not e", "-f | abs",
    "-3 | abs", "(1 + 2) * 3", "1 < 2 < 3", "1 < 3 < 2", "3 > 2 > 1", "1 == 1.0 == true", "1 < 2 == true", "n == 7 and f == 2.5 or x", "e or s", "s and e", "none and true", "1 and ''", "0 and none", "0 or none", "1 and 2 and 3", "true | abs", "x or 0 or []",
    "0.1 + 0.2", "1e308 * 10", "1e308 * 10 - 1e308 * 10", "9007199254740993 + 0", "123456789012345678901234567890 + 1", "123456789 * 987654321 * 1000", "7 | int / 2", "'7' | int + 1",
    "true + true", "1 if n > 5 else 2", "1 if n < 5", "(1 if n < 5) is defined", "'a' if x else 'b' if n else 'c'", "(1, 2) + (3,)", "(1, 2) * 2", "l * 2", "2 * 'ab'", "'ab' * 0",
    "'ab' * -1", "[1] + (2,)", "[[1, 2], [3]] | sum(start=[])", "l + [4]", "d + d", "l - [1]", "1 is number", "s % 1", "'%s-%05.1f|%+d|%x' % (s, f, n, 255)", "'%(b)s' % d", "'%d%%' % n",
    "'%s' % l", "'%s %s' % (1,)", "'%s' % (1, 2)", "x + 1", "missing + 'a'", "'a' + missing", "'a' ~ missing ~ x ~ n", "f ~ true", "none ~ none", "l ~ d.c")

EQUALITY = printed(
    "[1] == (1,)", "(1,) == (1,)", "(1, 2) == (1, 2.0)", "[1, [2]] == [1, [2]]", "{'a': 1} == {'a': true}", "{'a': 1} == {'a': 1, 'b': 2}", "'1' == 1", "none == false", "missing == missing",
    "missing == none", "missing == ''", "[] == ()", "{} == []", "1 in [true]", "2.0 in (1, 2)", "'a' in 'abc'", "1 in 'abc'", "'a' in d", "'items' in d", "1 in d", "[1] in [[1]]",
    "(1,) in [[1]]", "none in [none]", "'x' in missing", "'x' in none", "1 in 5", "[] in d", "'' in ''", "l is sameas l", "(1, 2) < (1, 3)", "[1, 2] < [1]", "[1] < (2,)", "'a' < 'B'",
    "'a' < none", "none < none", "l < 1", "d < d", "true < 2", "missing < missing", "n is eq 7", "n is ne 7.0", "n is lt 8", "n is gt(8)", "n is ge 7", "n is le 'a'", "'a' is in 'abc'", "3 is in l",
    "[1, true, 1.0, 'a'] | unique | list", "l | select('gt', 1) | list", "l | select('in', [1, 2]) | list", "l | reject('==', 3) | list", "msgs | selectattr('role', 'eq', 'user') | list | length",
    "msgs | selectattr('k', 'defined') | map(attribute='role') | list", "l.index(1)", "l.count(true)", "[1, 2].index(5)", "(1, 2, 1).count(1)", "['a', 'b'] | sort(reverse=true) | first", "[3, 'a'] | sort", "['b', none] | sort")

ACCESS = printed(
    "d.items is callable", "d['items']", "d.items() | list | length", "d.get('items')", "d.get('zz', 5)", "d.get('zz')", "d.pop", "d['pop']", "d.pop is defined", "d.pop('b')", "l.append(1)", "l.append is defined",
    "d.b", "d['b']", "d.zz", "d.zz is defined", "d.zz.yy", "d['zz']['yy']", "missing.a", "missing['a']", "missing[0]", "x.a", "x.a.b", "x['a']", "x[0]", "n.foo", "n[0]", "s.foo", "s['upper']()", "s[0]", "s[-1]",
    "s[99] is defined", "s['0'] is defined", "l[0]", "l[-1]", "l[true]", "l[1.0] is defined", "l['0'] is defined", "l.0", "l[3] is defined", "(1, 2)[1]", "d.c[1]", "d['c'].0", "u[1]", "u[1:]", "{1: 'a'}[true]", "{1: 'a'}[1.0]", "{true: 'a', 1: 'b'}",
    "{'a': 1, 'a': 2}", "{1: 1, 1.0: 2, true: 3}", "{none: 1}[none]", "{(1, 2): 'a'}[(1, 2)]", "{[]: 1}", "{{}: 1}", "{([],): 1}", "d[[]] is defined", "d[l]", "dict(a=1, **{'b': 2})", "dict([('a', 1)], b=2)", "dict({'a': 1}).a",
    "s.upper is callable", "s.nope is callable", "range is callable", "d is callable", "(s.upper)()", "s.upper()()", "s()", "missing()", "d.zz()", "s.nope()", "x.strip()", "n.bit_length()", "f.is_integer()", "l.copy() is sameas l",
    "('abc' | attr('upper'))()", "d | attr('b')", "d | attr('items') is callable", "missing | attr('a')", "l | attr('x') is defined", "msgs | map(attribute='content') | list", "msgs | map(attribute='k', default=0) | list", "msgs | map(attribute='content.0') | list",
    "[[1, 2], [3, 4]] | map(attribute=1) | list", "['a', 'b'] | map('upper') | join", "l | map('string') | join('-')", "msgs[0].role[0].upper()", "msgs[-1]['content'] is none", "msgs[1:][0].role", "msgs[:-1] | length", "range(5)[1]", "range(5)[-1]",
    "range(3) | list", "range(3)[9] is defined", "d.items()[0]", "d.keys() | list", "d.values() | first", "'a,b'.split(',')[1]", "'a,b'.split(',')[1:]", "s.split()[-1][::-1]", "'%s' | format(s)", "'{0} {a}'.format(1, a=2)", "'{}'.format(x)")

SLICES = each("(1, 2, 3, 4)[@]", "1:", ":2", ":", "::2", "::-1", "-2:", ":-1", "3:1", "3:1:-1", "10:", ":10", "-10:2", "none:2", "1:none", "::0") + each(
    "s[@]", "1:", ":2", "::2", "::-1", "-3:", "20:", "2:1", "-1:0:-2", "::0") + each("l[@]", "1:", "::-1", ":1", "true:", "5:") + printed(
    "x[1:]", "l['a':]", "l[f:]", "missing[1:]", "d[1:]", "n[1:]", "range(5)[1:] | list", "()[1:]", "(1, 2)[:1]", "e[1:]", "l[1:][1:]")

MACROS = [
    "{% macro m() %}{{ varargs }} {{ kwargs }}{% endmacro %}{{ m(1, 2, k=3) }}{{ m() }}", "{% macro m(a) %}{{ a }}|{{ varargs }}{% endmacro %}{{ m(1, 2, 3) }}{{ m(a=1) }}",
    "{% macro m(a) %}{{ a }}|{{ kwargs }}{% endmacro %}{{ m(1, b=2) }}{{ m(b=2, a=1) }}", "{% macro m(a) %}{{ a }}|{{ kwargs }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a, b=1, c=2) %}{{ a }}{{ b }}{{ c }}{{ kwargs }}{% endmacro %}{{ m(5, c=7, z=8) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}", "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m(1) }}", "{% macro m(a, b=a ~ '!') %}{{ b }}{% endmacro %}{{ m('x') }}{{ m('x', 'y') }}",
    "{% macro m(a, b=a, c=b) %}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(1, c=3) }}", "{% macro m(a=s) %}{{ a }}{% endmacro %}{{ m() }}", "{% macro m(a=none) %}{{ a is none }}{% endmacro %}{{ m() }}{{ m(none) }}{{ m(0) }}", "{% macro m(a=[1, 2]) %}{{ a }}{% endmacro %}{{ m() }}",
    "{% macro m(a=1, b) %}{% endmacro %}", "{%- macro m(a, b='c' ~ a) -%}\n  {{ b }}\n{%- endmacro -%}\n\n {{ m(1) }} ", "{% macro m(a, b=a) %}\n{{ b }}\n{% endmacro %}\n{{ m(1) }}", "{% macro m(n) %}{{ n }}{% if n > 1 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(3) }}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in{% endcall %}", "{% macro m(a) %}{{ a }}{{ caller(1, b=2) }}{% endmacro %}{% call(a, b) m(0) %}{{ a }}{{ b }}{% endcall %}", "{% macro m(a) %}{{ a }}{% if caller %}{{ caller() }}{% endif %}{% endmacro %}{{ m(1) }}{% call m(2) %}c{% endcall %}",
    "{% macro m(*a) %}{% endmacro %}", "{% macro m(a, a2) %}{{ a }}{{ a2 }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'a2': 4}) }}", "{% call 1 %}{% endcall %}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1) | upper }}{{ m('q') ~ m('r') }}{{ (m('z')).upper() }}", "{% macro m(a, b=1) %}{% endmacro %}{{ m.name }} {{ m.arguments }}",
    "{% macro outer() %}{% macro inner(a, b=a) %}{{ b }}{% endmacro %}{{ inner(1) }}{% endmacro %}{{ outer() }}", "{% set ns = namespace(f=1) %}{% macro m() %}{% set ns.f = 2 %}{% endmacro %}{{ m() }}{{ ns.f }}",
]

STATEMENTS = [
    "{% for a, b in d.items() %}{{ a }}={{ b }};{% endfor %}", "{% for a in 1, 2 %}{{ a }}{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for i in l if i > 1 %}{{ loop.index }}{{ i }}{% else %}no{% endfor %}", "{% for i in x %}{% endfor %}", "{% for i in 5 %}{% endfor %}", "{% for i in missing %}{{ i }}{% else %}none{% endfor %}",
    "{% for i in l recursive %}{{ i }}{% endfor %}", "{% for i in [[1, [2]], 3] recursive %}{{ loop(i) if i is iterable else i }}{% endfor %}", "{% for i in s %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for i in l %}{{ loop.first }}{{ loop.last }}{{ loop.previtem is defined }}{{ loop.changed(i) }}{% endfor %}", "{% for c in 'ab' %}{{ c }}{{ loop.revindex0 }}{{ loop.length }}{% endfor %}",
    "{% set a = 1, 2 %}{{ a }}", "{% set a, b = (1, 2) %}{{ b }}{{ a }}", "{% set a %}x{{ n }}{% endset %}{{ a }}", "{% set a | upper %}x{% endset %}{{ a }}", "{% set a | replace('x', 'y') | upper %}x{% endset %}{{ a }}", "{% set d.z = 1 %}", "{% set ns = namespace(items=[1], get=2) %}{{ ns.items }}{{ ns.get }}", "{% set ns = namespace(a=1) %}{% set ns.a = ns.a + 1 %}{{ ns.a }}{{ ns['a'] }}",
    "{% set ns = namespace() %}{% set ns.a %}b{% endset %}{{ ns.a }}", "{% set ns = namespace(a=1) %}{{ ns | tojson }}", "{% set ns = namespace(a=1) %}{{ [ns] | tojson }}", "{% set ns = namespace(a=1) %}{{ 'a' in ns }}", "{% set ns = namespace(a=1) %}{{ ns == ns }}{{ ns.b is defined }}", "{% set ns = namespace(a=1) %}{{ ns }}{% for i in ns %}{% endfor %}", "{% set ns = namespace(a='x') %}{{ ns }}", "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}", "{% with %}{{ n }}{% endwith %}", "{% filter upper %}a{{ s }}{% endfilter %}",
    "{% filter replace('a', 'b') | upper %}a{% endfilter %}", "{% if n in l or s.startswith('H') and not x %}y{% endif %}", "{% if n is defined and n is number %}y{% elif x %}z{% else %}w{% endif %}", "{% if missing %}a{% else %}b{% endif %}", "{% if missing is not defined %}b{% endif %}", "{% if n not in l %}b{% endif %}", "{% autoescape true %}{{ '<' }}{{ '<' | safe }}{{ '<' | e }}{% endautoescape %}{{ '<' }}",
    "{% autoescape false %}{{ '<' }}{% endautoescape %}", "{% autoescape true %}{{ e ~ '<' ~ ('>' | safe) }}{% set a %}<b>{% endset %}{{ a }}{{ n }}{{ l }}{% endautoescape %}", "{{ ('<' | e) | e }}{{ ('<' | forceescape) | forceescape }}{{ ('<' | e) + '>' }}{{ '&' + ('<' | safe) }}", "{% autoescape true %}{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m('<') }}{% endautoescape %}", "{% generation %}{{ s }}{% endgeneration %}",
    "{{ cycler('a', 'b').next() }}", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.reset() }}{{ c.next() }}", "{% set j = joiner('|') %}{{ j() }}a{{ j() }}b", "{% for g in msgs | groupby('role') %}{{ g.grouper }}{{ g.list | length }}{{ g[0] }}{% endfor %}", "{% for g, m in msgs | groupby('role') %}{{ g }}{{ m | length }}{% endfor %}", "{{ msgs | groupby('role') | first }}",
    "{% for i in l %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{% endfor %}", "{% for i in l %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}", "{% do l.append(1) %}", "{% if %}x{% endif %}", "{{ }}", "{{ 1 2 }}", "{{ a. }}", "{{ (1 }}", "{{ [1, }}", "{{ 'a }}", "{{ n | nope }}", "{{ n is nope }}", "{{ n | __attribute('a') }}", "{{ n ! }}", "{% for in l %}{% endfor %}", "{% set = 1 %}",
    "{{ raise_exception('no ' ~ n) }}", "{% if n %}{{ raise_exception('a' + 'b') }}{% endif %}", "{{ strftime_now('%d %b %Y') }}", "{{ x is none }}{{ x is not none }}{{ n is divisibleby 7 }}{{ n is divisibleby(2) }}{{ n is odd and s is string }}", "{{ d.c is sequence }}{{ d is mapping }}{{ s is iterable }}{{ (1, 2) is sequence }}{{ n is sameas 7 }}", "{{ 'a' 'b' \"c\" }}", "{{ '\\x41\\u00e9\\101\\n\\q\\'' }}", "{{ '\\U0001f600' }}",
    "{{ {'a': [1, (2, none)], 'b': {'c': 1.0}} | tojson }}", "{{ (1, 2) | tojson(indent=1) }}", "{{ {1: true, none: 2.5, 'k': 'ü'} | tojson }}", "{{ range(2) | tojson }}", "{{ missing | tojson }}", "{{ s.upper | tojson }}", "{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }}", "{{ 'a\tb'.expandtabs(4) }}{{ 'a1'.isidentifier() }}{{ 'a\n'.isprintable() }}", "{{ (s ~ '\n') | trim | length }}",
    "{{ 'a'.join(['x', 'y']) }}{{ 'abc'.replace('b', '') }}{{ ' x '.strip() }}{{ 'xxa'.lstrip('x') }}", "{{ s.find('o', 5) }}{{ s.count('l') }}{{ s.startswith(('x', 'H')) }}{{ s.endswith('d', 0, 5) }}", "{{ 'a-b_c'.title() }}{{ 'ABC'.lower().capitalize() }}{{ 'a b c'.split(' ', 1) }}{{ 'a=b=c'.rpartition('=') }}",
]

TEMPLATES = NUMBERS + EQUALITY + ACCESS + SLICES + MACROS + STATEMENTS + ARITHMETIC + COMPARED
