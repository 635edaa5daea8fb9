// Creates three spans: the invocation and two HTTP calls.
const http = require("node:http");

function get(item) {
  return new Promise((resolve, reject) => {
    http.get(`${process.env.SERVICE}/${item}`, (response) => response.resume().on("end", resolve)).on("error", reject);
  });
}

exports.handler = async (event) => {
  await get("first");
  await get("second");
  return { done: event.number };
};
