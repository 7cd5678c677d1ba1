// Insert a job from Node: DATABASE_URL=postgresql://… node node.js; needs the package `pg`.

const { Client } = require("pg");

async function main() {
  const client = new Client({ connectionString: process.env.DATABASE_URL });
  await client.connect();
  try {
    const { rows } = await client.query(
      "INSERT INTO jobs (type, payload, owner) VALUES ($1, $2, $3) RETURNING id",
      ["greet", JSON.stringify({ name: "Ada" }), "ada"],
    );
    console.log("job", rows[0].id);
  } finally {
    await client.end();
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
