"""A source file for mutants_switched.py, with its mutants behind switches.

`a == b` becomes `(if on(17) { (a != b) } else { (a == b) })`, a body `{ if on(18) { return Ok(()); } … }`, and so on.
cargo-mutants says what to put in and where; tree-sitter, how far the expression, pattern or body around it reaches.
"""

import collections

import tree_sitter
import tree_sitter_rust

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_rust.language()))


def nodes(node):
    """A part of the tree and all that is in it."""
    yield node
    for child in node.children:
        yield from nodes(child)


class Source:
    """A file, and how it is written with its mutants behind switches."""

    def __init__(self, path):
        self.path, self.text = path, path.read_bytes()
        self.lines = self.text.splitlines(keepends=True)
        self.root = PARSER.parse(self.text).root_node
        all_nodes = list(nodes(self.root))
        constants = [node for node in all_nodes if node.type in ("const_item", "static_item")]
        in_constants = {node.text for item in constants for node in nodes(item)}
        for node in all_nodes:
            # A const fn cannot read the switch; drop `const` if no constant in this file calls it.
            if node.type == "function_modifiers" and node.text == b"const":
                if node.parent.child_by_field_name("name").text not in in_constants:
                    self.text = self.text[: node.start_byte] + b"     " + self.text[node.end_byte :]

    def byte(self, place):
        """Of a line and a column in characters, both from one."""
        line, column = place["line"] - 1, place["column"] - 1
        return sum(map(len, self.lines[:line])) + len(self.lines[line].decode()[:column].encode())

    def site(self, mutant):
        """Where the switch goes: (start, end, kind) and the text instead; nothing where there is no place for one."""

        def up(*types):
            nonlocal node
            while node.type not in types:
                node = node.parent
            return node

        start, end = self.byte(mutant["span"]["start"]), self.byte(mutant["span"]["end"])
        new = mutant["replacement"].encode()
        node = self.root.descendant_for_byte_range(start, end if mutant["genre"] == "FnValue" else start + 1)
        match mutant["genre"]:
            case "FnValue":
                body = up("function_item").child_by_field_name("body")
                return (body.start_byte, body.end_byte, "body"), new
            case "BinaryOperator" | "UnaryOperator":
                whole = node.parent
                if whole.type not in ("binary_expression", "compound_assignment_expr", "unary_expression"):
                    return None
                text = self.text[whole.start_byte : start] + new + self.text[end : whole.end_byte]
                return (whole.start_byte, whole.end_byte, "value"), text
            case "MatchArmGuard":
                return (start, end, "value"), new
            case "MatchArm":
                pattern = up("match_arm").child_by_field_name("pattern")
                guard = pattern.child_by_field_name("condition")
                if guard:
                    return (guard.start_byte, guard.end_byte, "value"), b"false"
                return (pattern.end_byte, pattern.end_byte, "arm"), b""
            case "StructField":
                field = up("field_initializer", "shorthand_field_initializer")
                base = next(child for child in field.parent.children if child.type == "base_field_initializer").text[2:].strip()
                if base.startswith(b"Default::"):
                    base = base.replace(b"Default", b"<" + field.parent.parent.child_by_field_name("name").text + b" as Default>", 1)
                name, value = field.child_by_field_name("field") or field, field.child_by_field_name("value") or field
                kind = "short" if name == value else "value"
                return (value.start_byte, value.end_byte, kind), b"(" + base + b")." + name.text
        return None

    def write(self, listed):
        """Writes the file with these mutants. Gives its parts: (start, end, numbers, what they are if it does not compile)."""
        sites = collections.defaultdict(list)
        for mutant in listed:
            place, new = mutant["site"]
            sites[place].append((mutant["number"], new))
        self.out, self.parts = bytearray(), []
        self.sites = sorted(sites.items(), key=lambda site: (site[0][0], -site[0][1]))
        self.emit(0, len(self.text))
        self.path.write_bytes(self.out)
        return self.parts

    def emit(self, start, end):
        """Writes a part of the original, with the switches in it."""
        while self.sites and self.sites[0][0][0] < end:
            (first, last, kind), variants = self.sites.pop(0)
            self.out += self.text[start:first]
            begun = len(self.out)
            self.switch(first, last, kind, variants)
            self.parts.append((begun, len(self.out), [number for number, _ in variants], "unjudged"))
            start = last
        self.out += self.text[start:end]

    def switch(self, start, end, kind, variants):
        if kind == "arm":
            self.out += b" if !crate::mutant_switch::on(%d)" % variants[0][0]
            return
        before, after = {"body": (b"return ", b"; } "), "short": (b"(", b") } else "), "value": (b"(", b") } else ")}[kind]
        self.out += {"body": b"{ ", "short": self.text[start:end] + b": (", "value": b"("}[kind]
        for number, new in variants:
            self.out += b"if crate::mutant_switch::on(%d) { " % number
            self.parts.append((len(self.out), len(self.out) + len(before + new), [number], "unviable"))
            self.out += before + new + after
        if kind == "body":
            self.emit(start + 1, end)
        else:
            self.out += b"{ ("
            self.emit(start, end)
            self.out += b") })"
