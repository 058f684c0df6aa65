"""The steps of an audit: collect, measure, judge, publish; and what reads a stored one."""
