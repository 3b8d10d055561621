// Opens a study in OHIF as a reader does, double-clicks its segmentation, and looks at it at points of the patient.
// Asked with one JSON argument: {browser, address, study, segmentation, points: [[x, y, z]] in mm (LPS), folder}.
// Answers with one line of JSON: for each point the slice shown and where the point lies on the picture that was saved.
import puppeteer from 'puppeteer-core';

const asked = JSON.parse(process.argv[2]);
const SOFTWARE_RENDERING = ['--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'];
const SIZE = { width: 1200, height: 800 };
const WAIT = { timeout: 180000, polling: 200 };

const browser = await puppeteer.launch({
  executablePath: asked.browser,
  headless: true,
  args: ['--no-sandbox', '--disable-dev-shm-usage', ...SOFTWARE_RENDERING],
});
try {
  const page = await browser.newPage();
  await page.setViewport(SIZE);
  await page.goto(`${asked.address}/viewer?StudyInstanceUIDs=${asked.study}`, { timeout: 180000 });
  const thumbnail = await page.waitForFunction(
    description => {
      const thumbnails = [...document.querySelectorAll('[data-cy^="study-browser-thumbnail"]')];
      return thumbnails.find(thumbnail => thumbnail.innerText.includes(description));
    },
    WAIT,
    asked.segmentation
  );
  await page.waitForFunction(() => window.cornerstone?.getRenderingEngines?.()[0]?.getViewports().length, WAIT);
  await dismissTour(page);
  await thumbnail.evaluate(element => element.scrollIntoView());
  const box = await thumbnail.boundingBox();
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2, { count: 2, delay: 60 });
  await page.waitForFunction(
    () => window.services.segmentationService.getSegmentations().some(s => Object.keys(s.segments).length),
    WAIT
  );
  await page.waitForFunction(
    () => {
      const viewport = window.cornerstone.getRenderingEngines()[0].getViewports()[0];
      return viewport.getNumberOfSlices?.() > 1 && !document.body.innerText.includes('Loading');
    },
    WAIT
  );
  await dismissTour(page);
  const names = await page.evaluate(() =>
    window.services.segmentationService
      .getSegmentations()
      .flatMap(segmentation => Object.values(segmentation.segments).map(segment => segment.label))
  );
  const seen = [];
  for (const [number, point] of asked.points.entries()) {
    const at = await lookAt(page, point);
    const picture = `${asked.folder}/at_${number}.png`;
    await page.screenshot({ path: picture });
    seen.push({ ...at, picture });
  }
  console.log(JSON.stringify({ names, seen }));
} finally {
  await browser.close();
}

// The first visit is met by a tour of the viewer, which lies over the images.
async function dismissTour(page) {
  await page.evaluate(() => {
    const buttons = [...document.querySelectorAll('button')];
    buttons.find(button => button.innerText.trim() === 'Skip all')?.click();
  });
}

async function lookAt(page, point) {
  await page.evaluate(point => {
    const viewport = window.cornerstone.getRenderingEngines()[0].getViewports()[0];
    const distance = id => {
      const plane = window.cornerstone.metaData.get('imagePlaneModule', id);
      return Math.abs(plane.imagePositionPatient[2] - point[2]);
    };
    const ids = viewport.getImageIds();
    const nearest = ids.reduce((best, id, k) => (distance(id) < distance(ids[best]) ? k : best), 0);
    window.cornerstone.utilities.jumpToSlice(viewport.element, { imageIndex: nearest });
  }, point);
  await new Promise(done => setTimeout(done, 1500));
  return page.evaluate(point => {
    const viewport = window.cornerstone.getRenderingEngines()[0].getViewports()[0];
    const [x, y] = viewport.worldToCanvas(point);
    const frame = viewport.element.getBoundingClientRect();
    return { slice: viewport.getSliceIndex?.() ?? viewport.getCurrentImageIdIndex(), x: frame.x + x, y: frame.y + y };
  }, point);
}
