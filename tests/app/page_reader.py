"""Reads a report back: what a person would see, without a browser."""

from html.parser import HTMLParser

from refcert.app.report import write_report


class Page(HTMLParser):
    """What the tests look at: text, elements by id with their numbers, table rows, links and tags."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.ids, self.text = [], [], {}, []
        self.values, self.inner, self.rows = {}, {}, []
        self._open = []
        self.feed(text)
        self.close()

    VOID = ("meta", "br", "wbr", "img", "link", "input")

    LINKS = ("src", "href", "xlink:href", "action", "data")

    def handle_starttag(self, tag, attrs):
        attrs = self._seen(tag, attrs)
        if tag in self.VOID:
            return
        self._open.append((tag, attrs.get("id")))
        if tag == "tr":
            self.rows.append(
                {"class": attrs.get("class"), "cells": [], "values": [], "table": self._inside("samples-table")}
            )
        if tag in ("td", "th") and self.rows:
            self.rows[-1]["cells"].append("")
        if tag == "data":
            for _, name in self._open:
                if name:
                    self.values.setdefault(name, []).append(float(attrs["value"]))
            if self.rows and self._inside("samples-table"):
                self.rows[-1]["values"].append(float(attrs["value"]))

    def handle_startendtag(self, tag, attrs):
        self._seen(tag, attrs)

    def _seen(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.links += [value for name, value in attrs.items() if name in self.LINKS]
        if "id" in attrs:
            assert attrs["id"] not in self.ids, attrs["id"]
            self.ids[attrs["id"]] = attrs
        return attrs

    def handle_endtag(self, tag):
        opened, _ = self._open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"
        self.text += [" "] if tag in ("td", "th") else []

    def handle_data(self, text):
        if self._open and self._open[-1][0] == "style":
            return
        self.text.append(text)
        for _, name in self._open:
            if name:
                self.inner[name] = self.inner.get(name, "") + text
        if self.rows and any(tag in ("td", "th") for tag, _ in self._open):
            self.rows[-1]["cells"][-1] += text

    def _inside(self, name):
        return any(identity == name for _, identity in self._open)

    @property
    def outside(self):
        """Whatever a link leads to that is neither on the page nor an image inside it."""
        inside = {f"#{name}" for name in self.ids}
        return {link for link in self.links if link not in inside and not link.startswith("data:image/png;base64,")}

    @property
    def said(self):
        return " ".join("".join(self.text).split())

    @property
    def samples(self):
        return [row for row in self.rows if row["table"] and row["class"] is not None]


def page_of(run, out=None):
    return Page(write_report(run, out).read_text(encoding="utf-8"))


def every_run(fixed_run, search_run, refuted_run):
    return fixed_run, search_run, refuted_run
