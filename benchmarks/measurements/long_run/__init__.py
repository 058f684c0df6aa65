"""Requests in turn by ``retrain`` and by the default method, against a server that is killed: is any lost, or done twice?"""
