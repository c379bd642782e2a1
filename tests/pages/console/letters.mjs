/** What an operator decides about dead letters. The letters are answered for the server: no request of the API makes one. */
import { LETTERS } from "../gallery/console.mjs";
import { assert, until } from "../harness.mjs";
import { send, signIn, staff } from "./staff.mjs";

/** Answers as the server does, and notes what is decided: `{path, body, key}`. */
function keepLetters(decided) {
  const letters = LETTERS.map((letter) => ({ ...letter }));
  const success = (data) => ({ json: { success: true, data } });
  return async (page) => {
    await page.route(/api\/admin\/dead-letters\?/, (route) => {
      const isOpen = route.request().url().includes("open=true");
      return route.fulfill(success({ items: letters.filter(({ decision }) => !isOpen || !decision), next: null }));
    });
    await page.route(/api\/admin\/dead-letters\/[^/]+\/(replay|discard)$/, async (route) => {
      const request = route.request();
      const [id, what] = new URL(request.url()).pathname.split("/").slice(-2);
      const [body, verdict] = [request.postDataJSON(), `${what}ed`];
      decided.push({ path: `${id}/${what}`, body, key: request.headers()["idempotency-key"] });
      const letter = letters.find((one) => one.id === decodeURIComponent(id));
      letter.decision = { verdict, by: "user:7", at: new Date().toISOString(), reason: body.reason ?? null };
      await route.fulfill(success({ id: letter.id, outcome: verdict }));
    });
    // The list is read again when the number of letters changes.
    await page.route("**/api/admin/overview", async (route) => {
      const answer = await route.fetch();
      const { data } = await answer.json();
      await route.fulfill(success({ ...data, deadLetters: letters.filter(({ decision }) => !decision).length }));
    });
  };
}

const rowOf = (page, id) => page.getByRole("row").filter({ hasText: id });

export const scenarios = {
  "a dead letter is replayed, and another one discarded with a reason, and each says what was decided": async (bed) => {
    const decided = [];
    const page = await signIn(bed, staff("operator"), { view: "letters", before: keepLetters(decided) });
    await page.locator("nav .count", { hasText: "2" }).waitFor();
    const [first, second] = LETTERS;

    await rowOf(page, first.id).getByRole("button", { name: "Replay" }).click();
    await page.locator("dialog .differences", { hasText: first.cause }).waitFor();
    await page.locator("dialog .differences", { hasText: "replayed" }).waitFor();
    await bed.axe(page, "replaying a dead letter");
    await send(page);
    await page.locator(".toast", { hasText: "Replayed: a worker settles it." }).waitFor();
    await rowOf(page, first.id).waitFor({ state: "detached" });
    await page.locator("nav .count", { hasText: "1" }).waitFor();

    await rowOf(page, second.id).getByRole("button", { name: "Discard" }).click();
    const confirm = page.locator("dialog .actions button").last();
    // Neither without a reason nor without the name.
    await page.getByLabel("To confirm, type").fill(second.id);
    await confirm.click();
    await page.getByLabel("Reason").fill("Written by a test of the warehouse");
    await page.getByLabel("To confirm, type").fill("another one");
    await confirm.click();
    await page.getByRole("alert").filter({ hasText: "another name" }).waitFor();
    assert(decided.length === 1, `nothing is sent before: ${JSON.stringify(decided)}`);
    await bed.axe(page, "discarding a dead letter");
    await page.getByLabel("To confirm, type").fill(second.id);
    await send(page);
    await page.getByText("Nothing is to be decided.").waitFor();

    const [replayed, discarded] = decided;
    assert(decodeURIComponent(replayed.path) === `${first.id}/replay`, replayed.path);
    assert(decodeURIComponent(discarded.path) === `${second.id}/discard`, discarded.path);
    assert(discarded.body.reason === "Written by a test of the warehouse", JSON.stringify(discarded.body));
    assert(replayed.key && discarded.key && replayed.key !== discarded.key, "each is one decision, however often it is sent");

    await page.getByLabel("also decided ones").check();
    await rowOf(page, first.id).getByText("replayed by").waitFor();
    await rowOf(page, second.id).getByText("Written by a test of the warehouse").waitFor();
  },

  "a decision about a letter that the server does not have is refused in words": async (bed) => {
    const page = await signIn(bed, staff("operator"), {
      view: "letters",
      before: (one) =>
        one.route(/api\/admin\/dead-letters\?/, (route) =>
          route.fulfill({ json: { success: true, data: { items: LETTERS, next: null } } }),
        ),
    });
    const answers = [];
    page.on("response", (answer) => /dead-letters\/.*\/replay$/.test(answer.url()) && answers.push(answer));
    await rowOf(page, LETTERS[0].id).getByRole("button", { name: "Replay" }).click();
    await page.locator("dialog .actions button").last().click();
    await page.locator("dialog [role=alert]").waitFor();
    await until("the server has answered", () => answers.length === 1);
    assert(answers[0].status() === 404, `answered ${answers[0].status()}`);
    // Of a path that the API does not have it says something else.
    await page.locator("dialog [role=alert]", { hasText: "there is no such dead letter" }).waitFor();
  },
};
