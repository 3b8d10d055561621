// Opens a study in OHIF as a reader does, double-clicks a series of results, and looks at it at points of the patient.
// Asked with one JSON argument: {browser, address, study, views: [{series, points: [[x, y, z]] in mm (LPS)}], folder}.
// Answers with one line of JSON: for each view the names of what is drawn, and for each point the slice shown and where
// the point lies on the picture that was saved; further places {also: [[x, y, z]]} of a view are given on its pictures.
import puppeteer from 'puppeteer-core';

const asked = JSON.parse(process.argv[2]);
const SOFTWARE_RENDERING = ['--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'];
const SIZE = { width: 1200, height: 800 };
const WAIT = { timeout: 240000, polling: 200 };
const DRAWING_MS = 1500;

const browser = await puppeteer.launch({
  executablePath: asked.browser,
  headless: true,
  args: ['--no-sandbox', '--disable-dev-shm-usage', ...SOFTWARE_RENDERING],
});
try {
  const page = await browser.newPage();
  await page.setViewport(SIZE);
  const answers = [];
  for (const [number, view] of asked.views.entries()) {
    await open(page, view.series);
    const names = await page.evaluate(drawn, view.series);
    const seen = [];
    for (const [index, point] of view.points.entries()) {
      const at = await lookAt(page, point, view.also ?? []);
      const picture = `${asked.folder}/view_${number}_${index}.png`;
      await page.screenshot({ path: picture });
      seen.push({ ...at, picture });
    }
    answers.push({ names, seen });
  }
  console.log(JSON.stringify(answers));
} finally {
  await browser.close();
}

// A fresh page for each series: what an earlier one has left would lie over it.
async function open(page, series) {
  await page.goto(`${asked.address}/viewer?StudyInstanceUIDs=${asked.study}`, { timeout: 240000 });
  const thumbnail = await page.waitForFunction(
    description => {
      const thumbnails = [...document.querySelectorAll('[data-cy^="study-browser-thumbnail"]')];
      return thumbnails.find(thumbnail => thumbnail.innerText.includes(description));
    },
    WAIT,
    series
  );
  await page.waitForFunction(() => window.cornerstone?.getRenderingEngines?.()[0]?.getViewports().length, WAIT);
  await dismissTour(page);
  await thumbnail.evaluate(element => element.scrollIntoView());
  const box = await thumbnail.boundingBox();
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2, { count: 2, delay: 60 });
  await page.waitForFunction(drawn, WAIT, series);
  await page.waitForFunction(
    () => {
      const viewport = window.cornerstone.getRenderingEngines()[0]?.getViewports()[0];
      return viewport?.getNumberOfSlices?.() > 1 && !document.body.innerText.includes('Loading');
    },
    WAIT
  );
  await dismissTour(page);
}

// The names of the segments, or of the measurements that lie on images of the study; null while there are none.
function drawn(series) {
  const segments = window.services.segmentationService
    .getSegmentations()
    .flatMap(segmentation => Object.values(segmentation.segments).map(segment => segment.label));
  const reports = window.services.displaySetService
    .getActiveDisplaySets()
    .filter(set => set.Modality === 'SR' && set.SeriesDescription.startsWith(series));
  const measured = reports
    .flatMap(report => report.measurements ?? [])
    .filter(measurement => measurement.loaded)
    .map(measurement => measurement.TrackingIdentifier);
  const names = reports.length ? measured : segments;
  return names.length ? names : null;
}

// The first visit is met by a tour of the viewer, which lies over the images.
async function dismissTour(page) {
  await page.evaluate(() => {
    const buttons = [...document.querySelectorAll('button')];
    buttons.find(button => button.innerText.trim() === 'Skip all')?.click();
  });
}

async function lookAt(page, point, also) {
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
  await new Promise(done => setTimeout(done, DRAWING_MS));
  return page.evaluate(
    (point, also) => {
      const viewport = window.cornerstone.getRenderingEngines()[0].getViewports()[0];
      const frame = viewport.element.getBoundingClientRect();
      const place = at => {
        const [x, y] = viewport.worldToCanvas(at);
        return [frame.x + x, frame.y + y];
      };
      const [x, y] = place(point);
      const slice = viewport.getSliceIndex?.() ?? viewport.getCurrentImageIdIndex();
      return { slice, x, y, also: also.map(place) };
    },
    point,
    also
  );
}
