"""`make screenshots`: the page's pictures in docs/images, of a running page, and how soon its first paint came.

Start one first: `callweave demo`, then `callweave dashboard --data callweave-demo`.
"""

import argparse
import asyncio
import json
import urllib.request
from datetime import date, timedelta
from pathlib import Path

from tests.support.browser import a_browser

IMAGES = Path(__file__).parents[1] / "docs/images"
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def a_transferred_call(page_url: str, day: str) -> str:
    """The address of a call with a recording missing, else of any."""
    with urllib.request.urlopen(f"{page_url}/api/calls?from={day}&to={day}", timeout=20) as answer:
        table = json.load(answer)["tables"]["calls"]
    calls = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    call = max(calls, key=lambda each: (each["recordings_missing"], each["talk_seconds"] or 0))
    return f"view=call&sdk_app_id={call['sdk_app_id']}&session_id={call['session_id']}"


async def take(page_url: str, day: str) -> None:
    span = f"from={day}&to={day}"
    call = a_transferred_call(page_url, day)
    pictures = [
        ("page-today", span, "light", "en-GB", (1440, 1010)),
        ("page-today-dark-zh", span, "dark", "zh-CN", (1440, 1010)),
        ("page-pipeline-dark", f"view=pipeline&{span}", "dark", "en-GB", (1440, 900)),
        ("page-call", call, "light", "en-GB", (1280, 900)),
        ("page-find-zh", f"view=find&{span}", "light", "zh-CN", (1440, 900)),
        ("page-phone", span, "light", "en-GB", (390, 844)),
    ]
    IMAGES.mkdir(exist_ok=True)
    async with a_browser() as browser:
        for name, query, theme, locale, (width, height) in pictures:
            context = await browser.new_context(
                viewport={"width": width, "height": height}, locale=locale, color_scheme=theme
            )
            page = await context.new_page()
            await page.goto(f"{page_url}/?{query}")
            await page.wait_for_selector("#pulse[data-state=good]")
            await page.wait_for_selector("[aria-busy=true]", state="detached")
            await page.screenshot(path=IMAGES / f"{name}.png")
            print(f"{name}: first contentful paint after {await page.evaluate(PAINT):.0f} ms")
            await context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8082")
    parser.add_argument("--day", default=str(date.today() - timedelta(days=1)))
    asked = parser.parse_args()
    asyncio.run(take(asked.url.rstrip("/"), asked.day))


if __name__ == "__main__":
    main()
