// Signing in: the password goes to this server alone, and a cookie that scripts cannot read comes back.

const form = document.getElementById("sign-in");
const wrong = document.getElementById("wrong");

document.getElementById("ended").hidden = location.search !== "?ended";

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  wrong.textContent = "";
  try {
    const answer = await fetch("/api/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ user: form.user.value, password: form.password.value }),
    });
    if (answer.ok) {
      location.replace("/");
      return;
    }
    const { error } = await answer.json();
    wrong.textContent = error[0].toUpperCase() + error.slice(1) + ".";
    form.password.select();
  } catch {
    wrong.textContent = "The server cannot be reached; check that it is still running.";
  } finally {
    button.disabled = false;
  }
});
