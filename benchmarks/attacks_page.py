"""The page of the attacks."""


def attack_page(*given: object) -> str:
    """Nothing yet."""
    return ""
