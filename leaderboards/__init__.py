"""Boards, the static site, published figures and accepted results."""
