// Has three spans: the invocation's and two calls.
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
