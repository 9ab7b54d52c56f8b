"""What just happened: the demo's chain on one page, from real images to explanations."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from app.deps import IdentityDep, SessionDep
from app.pages.render import Script, render
from app.services import demo
from app.services.demo import Story

router = APIRouter(prefix="/demo")

CLIENT = """from phantom import Studio

studio = Studio()
data = studio.datasets.upload("phantoms/", name="phantoms")
checkpoint = studio.train_diffusion(data, preset="tiny", num_steps=100).wait()
synthetic = studio.sample(checkpoint, per_class=50).wait()
classifier = studio.train_classifier(synthetic, architecture="tf_efficientnet_lite0").wait()
evaluation = studio.evaluate(classifier, data.split("test")).wait()
studio.explain(classifier, data.split("test").images(limit=4)).wait()"""
CURL = 'curl -H "Authorization: Bearer $PHANTOM_TOKEN" $PHANTOM_URL/api/v1/jobs'


@dataclass(frozen=True)
class ShowPage:
    story: Story | None
    script: Script


@router.get("")
def show(request: Request, session: SessionDep, who: IdentityDep) -> Response:
    return render(request, "demo/show.html", ShowPage(demo.story(session, who), Script(CLIENT, CURL)))
