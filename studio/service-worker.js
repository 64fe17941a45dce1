/**
 * @file Keeps the files of one build, so that the page opens without a network after the first visit.
 * vite.config.ts fills in VERSION and FILES; only a page of a static host registers it.
 */
const name = "tersor-studio VERSION";
const files = FILES;

addEventListener("install", (event) => {
  event.waitUntil(caches.open(name).then((cache) => cache.addAll(files)));
});

/** A new build takes over when no page of the old one is open; then the old files go. */
addEventListener("activate", (event) => {
  const isOld = (key) => key.startsWith("tersor-studio ") && key !== name;
  const cleared = caches
    .keys()
    .then((keys) => Promise.all(keys.filter(isOld).map((key) => caches.delete(key))));
  event.waitUntil(cleared.then(() => clients.claim()));
});

addEventListener("fetch", (event) => {
  const kept = caches.match(event.request, { cacheName: name, ignoreSearch: true });
  event.respondWith(kept.then((found) => found ?? fetch(event.request)));
});
